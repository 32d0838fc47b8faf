"""The benchmark of GPUs, its measurements on a CPU and its page; the rest needs a GPU."""

import json

import pytest
import torch

from benchmarks import gpu, ssta

CPU = torch.device("cpu")
SIZES = {
    "tokens": 901,
    "latency_ms": {"wimamba": 1.5, "naive": 6.0, "fused": 3.0},
    "megabytes": {"wimamba": 50.0, "naive": 100.0, "fused": 25.0},
    "latency_over_wimamba": {"naive": 4.0, "fused": 2.0, "naive_published": 1.8},
    "memory_over_wimamba": {"naive": 2.0, "fused": 0.5, "naive_published": 5.7},
}


def test_every_way_of_attention_and_the_scan_are_measured_and_shown(monkeypatch):
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    found = {
        "device": "a device",
        "tests": {
            "passed": 30,
            "failed": 0,
            "error": 0,
            "skipped": 1,
            "skips": ["SKIPPED [1] test_scan.py: needs mamba-ssm"],
        },
        "attention": gpu.attention(CPU, (256,)),
        "scan": gpu.scans(CPU, 32),
        "efficiency": {"patch_sizes": {8: SIZES}},
    }
    assert set(found["attention"][256]) == {"dense", *(f"{c}_{r}" for c in ssta.CORRIDORS for r in ssta.ROUTINGS)}
    assert all(seconds > 0 for seconds in (*found["attention"][256].values(), *found["scan"]["seconds"].values()))
    page = gpu.table(json.loads(json.dumps(found)))
    assert "30 tests passed, 0 failed" in page and "needs mamba-ssm" in page
    assert "| GPU | 901 | 2 | 50 | 4 | 1.8 | 2 | 2 | 5.7 | 0.5 |" in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        gpu.main()
