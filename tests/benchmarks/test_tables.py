"""Pages of results show the figures that a benchmark prints: each table from an object of its form."""

import json

import pytest

from benchmarks import (
    csi_from_paths,
    efficiency_table,
    flow,
    flow_stress,
    scale_out,
    selective_scan,
    serving,
    store,
    twin,
)

RATES = {"store": 4.0, "store_next_epoch": 8.0, "pickle": 2.0, "hdf5": 0.25, "xbatcher": 1.0, "memory_copy": 16.0}
TIMES = {"1": {"p50": 1.25, "p99": 2.5}, "8": {"p50": 10.0, "p99": 20.0}}
TWO = {"naive": 9.0, "wimamba": 3.0, "fused": 6.0}, {"naive": 8.0, "wimamba": 2.0, "fused": 1.0}
CASES = {
    selective_scan: (
        {
            "parameters": {"ours": 2500000, "transformers": 2500000, "mambapy": 2500000, "lwm_naive": 2600000},
            "tokens": {
                901: {
                    "seconds": {"ours": 0.5, "transformers": 1.0, "lwm_naive": 2.0},
                    "ratio": {"ours": 1.0, "transformers": 2.0, "lwm_naive": 4.0},
                    "error": {"ours": 1e-7, "transformers": 2e-7, "mambapy": 3e-7},
                },
                3601: {
                    "seconds": {"ours": 1.5, "transformers": 4.5},
                    "ratio": {"ours": 1.0, "transformers": 3.0},
                    "error": {"ours": 1e-7, "transformers": 2e-7, "mambapy": 3e-7},
                },
            },
        },
        ["| ours | 2,500,000 | 0.50 s | 1.50 s |", "| lwm_naive | 2,600,000 | 4 times as long | not run |"],
    ),
    efficiency_table: (
        {
            "cpu": {8: efficiency_table.row(8, *TWO)},
            "cuda": {"skipped": "no CUDA device"},
        },
        ["| CPU | 901 | 3 | 2 | 3 | 1.8 | 2 | 4 | 5.7 | 0.5 |", "GPU: no CUDA device."],
    ),
    csi_from_paths: (
        {
            "users": 1000, "slots": 16, "antennas": 32, "subcarriers": 32, "paths": 73,
            "relative_error_to_sionna_cfr": 5e-6,
            "seconds": {"ours": 0.25, "ours_two_keys": 0.5, "sionna_cfr": 10.0, "deepmimo": 0.3},
        },
        ["| sionna-rt `Paths.cfr` | 10.00 | 40 | 20 |", "1000 users, 16 slots", "5e-06"],
    ),
    twin: (
        {
            "scenario": "munich", "windows": 600,
            "time_over_solver": {
                name: {"seconds": 13.0, "solver_seconds": 10.0, "ratio": 1.3} for name in ("build", "stage")
            },
            "key_positions": {
                "users": 100, "speed_m_s": 30.0, "slots": 16, "keys": 2, "times_faster": 5.0,
                "seconds": {"keys": 2.0, "every_slot": 10.0},
                "nmse_db": {"mean": -31.0, "median": -57.0}, "nmse_db_grid_0.1_m": {"mean": 3.2, "median": 2.0},
            },
        },
        ["1.30 (13.0 s / 10.0 s)", "5.0 times as fast (2.0 s, 10.0 s)", "3.2 dB in the mean"],
    ),
    store: (
        {
            "samples": 8448, "shape": [16, 32, 32], "gigabytes": 1.107,
            "write_s": {"store": 0.9, "pickle": 2.7, "hdf5": 34.0},
            "gigabytes_per_second": RATES, "gigabytes_per_second_beside_a_busy_core": {"store": 3.0, "pickle": 1.5},
            "dvc_store_over_plain": {"add": 0.5, "checkout": 1.8},
        },
        ["| our store, first epoch | 4 | 1 | 2 | 3 | 0.9 |", "| xbatcher on the same store | 1 | 4 | 8 | - | - |"],
    ),
    scale_out: (
        {"windows": 13200, "seconds": {1: 240.0, 2: 120.0}, "two_processes_are_faster_by": 2.0},
        ["| 13,200 | 240 | 120 | 2.00 |"],
    ),
    flow: (
        {
            "stages": 22, "flow_is_faster_by": 1.5, "same_dvc_lock": False, "other_outputs": ["report/report.html"],
            "seconds": {"dvc_repro": 150.0, "flow": 100.0, "flow_cached": 11.0, "prefect_start_up": 8.0},
        },
        ["| 22 | 150 | 100 | 1.50 | 11.0 | 8.0 |", "differ in report/report.html."],
    ),
    flow_stress: (
        {"runs": 2, "incomplete": 0, "other_locks": 0, "statuses": 9, "failed_statuses": 0, "seconds": [4.0, 5.0]},
        ["| 2 | 0 | 0 | 9 | 0 | 9 |"],
    ),
    serving: (
        {
            "model": "models:/tiny_wifo@champion", "known": [8, 16, 32], "wanted": [8, 0],
            "session": {"latency_ms": TIMES, "samples_per_second": 900.0},
            "mlflow_models_serve": {"latency_ms": TIMES, "samples_per_second": 30.0},
        },
        ["| ONNX session | 1.2 | 2.5 | 10.0 | 20.0 | 900 |"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("benchmark", CASES, ids=lambda module: module.__name__.split(".")[1])
def test_a_table_shows_what_was_measured(benchmark):
    result, expected = CASES[benchmark]
    page = benchmark.table(json.loads(json.dumps(result)))
    for text in expected:
        assert text in page, page
