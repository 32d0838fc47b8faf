"""The ray-traced twin of the default study: what it takes beyond sionna's solver, and tracing at key positions only.

python -m benchmarks.twin: one process, one thread; about two minutes. Key positions are compared with tracing every
slot, by the same code: time, and the NMSE of the CSI between the keys; so is the discrete variant, for its NMSE.
"""

import json
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import medians
from stages import params
from stages.scenario import simulate as scenario_stage
from wavefoundry.csi.path_response import frequency_response
from wavefoundry.report.tables import markdown_table
from wavefoundry.twin.build import build
from wavefoundry.twin.dataset import ray_traced_dataset
from wavefoundry.twin.key_positions import trace
from wavefoundry.twin.options import RayTracedTwin
from wavefoundry.twin.scene import rt
from wavefoundry.twin.street_map import survey
from wavefoundry.twin.traffic import simulate

ENTRY, SEED = "munich", 0
USERS, SPEED, ROUNDS = 100, 30.0, 1
EVERY_SLOT = {"kind": "continuous", "interval": 1}
GRID = {"kind": "discrete", "spacing": 0.1}


def one_by_one(function, arguments):
    return (function(*one) for one in arguments)


@contextmanager
def solver_time():
    """Yields a list that gets the seconds of every call of sionna's solver."""
    seconds, original = [], rt.PathSolver.__call__

    def timed(*arguments, **options):
        start = time.perf_counter()
        try:
            return original(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - start)

    rt.PathSolver.__call__ = timed
    try:
        yield seconds
    finally:
        rt.PathSolver.__call__ = original


def changed(twin: RayTracedTwin, traffic: dict, sampling: dict, keys: dict | None) -> RayTracedTwin:
    values = twin.model_dump()
    values["site"]["traffic"] |= traffic
    values["site"]["sampling"] |= sampling
    values["tracing"]["keys"] = keys or values["tracing"]["keys"]
    return RayTracedTwin.model_validate(values)


def share_of_solver(twin: RayTracedTwin) -> dict:
    """Seconds of the build and of the whole stage (with store and pictures, without MLflow) and inside the solver."""
    result = {}
    users = np.zeros(twin.user_count, bool)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "build": lambda: build(twin, users, SEED, SEED, one_by_one),
            "stage": lambda: scenario_stage(twin, SEED, ENTRY, Path(folder), Path(folder), one_by_one),
        }
        for name, run in runs.items():
            with solver_time() as inside:
                start = time.perf_counter()
                run()
                seconds = time.perf_counter() - start
            result[name] = {"seconds": seconds, "solver_seconds": sum(inside), "ratio": seconds / sum(inside)}
    return result


def nmse_db(found: torch.Tensor, expected: torch.Tensor) -> dict:
    """Of users; one that only one of both reaches counts with its full power, as 1."""
    error = (found - expected).abs().square().sum((1, 2, 3)).double()
    power = expected.abs().square().sum((1, 2, 3)).double()
    reached = (power > 0) | (error > 0)
    nmse = torch.where(power > 0, error / power.clamp_min(1e-30), torch.ones_like(error))[reached]
    return {"mean": float(10 * nmse.mean().log10()), "median": float(10 * nmse.median().log10())}


def key_positions(twin: RayTracedTwin, ofdm) -> dict:
    traffic = {"vehicles": USERS, "pedestrians": 0, "vehicle_speed": [SPEED, SPEED]}
    variants = {
        name: changed(twin, traffic, {"windows": 1}, keys)
        for name, keys in (("keys", None), ("every_slot", EVERY_SLOT), ("grid", GRID))
    }
    site = variants["keys"].site
    street_map = survey(site)
    tracks = simulate(street_map, site.traffic, site.sampling, np.random.default_rng(SEED))
    found = {}

    def run(name):
        found[name] = trace(variants[name], tracks, street_map, SEED, one_by_one)

    seconds = medians({name: lambda name=name: run(name) for name in ("keys", "every_slot")}, ROUNDS)
    run("grid")
    csi = {}
    for name, traced in found.items():
        paths = ray_traced_dataset(variants[name], tracks, traced, SEED)
        some = frequency_response(paths, ofdm)
        csi[name] = torch.zeros(USERS, *some.shape[1:], dtype=some.dtype)
        csi[name][torch.from_numpy(paths["trajectory"].values.astype(int))] = some
    return {
        "users": USERS,
        "speed_m_s": SPEED,
        "slots": site.sampling.slots,
        "keys": len(variants["keys"].key_slots()),
        "users_reached": int(found["every_slot"].paths.valid.any((1, 2)).sum()),
        "seconds": seconds,
        "times_faster": seconds["every_slot"] / seconds["keys"],
        "nmse_db": nmse_db(csi["keys"], csi["every_slot"]),
        f"nmse_db_grid_{GRID['spacing']}_m": nmse_db(csi["grid"], csi["every_slot"]),
    }


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    keys, rows = result["key_positions"], []
    for name, what in (("build", "building the twin"), ("stage", "the stage with store and pictures")):
        found = result["time_over_solver"][name]
        told = f"{found['ratio']:.2f} ({found['seconds']:.1f} s / {found['solver_seconds']:.1f} s)"
        rows.append([f"{what}, over the time in the solver", told])
    seconds = keys["seconds"]
    told = f"{keys['times_faster']:.1f} times as fast ({seconds['keys']:.1f} s, {seconds['every_slot']:.1f} s)"
    tracing = f"tracing {keys['keys']} keys, against all {keys['slots']} slots of {keys['users']} users"
    rows.append([f"{tracing} at {keys['speed_m_s']:.0f} m/s", told])
    grid = f"nmse_db_grid_{GRID['spacing']}_m"
    words = {"nmse_db": "the keys", grid: f'the nearest points of a grid of {GRID["spacing"]} m ("discrete")'}
    for name, what in words.items():
        told = f"{keys[name]['mean']:.1f} dB in the mean, {keys[name]['median']:.1f} dB in the median"
        rows.append([f"CSI from {what} against that of all slots, NMSE over users", told])
    return f"{result['scenario']}, {result['windows']} windows.\n\n{markdown_table(['', 'measured'], rows)}"


def main() -> None:
    torch.set_num_threads(1)
    scenario = params.read().entry("scenarios", ENTRY)
    twin = scenario.twin
    warm = changed(twin, {"vehicles": 2, "pedestrians": 1}, {"windows": 1}, None)
    build(warm, np.zeros(3, bool), SEED, SEED, one_by_one)
    result = {
        "benchmark": "twin",
        "scenario": ENTRY,
        "windows": twin.user_count * twin.site.sampling.windows,
        "max_depth": twin.tracing.max_depth,
        "samples_per_source": twin.tracing.samples_per_source,
        "time_over_solver": share_of_solver(twin),
        "key_positions": key_positions(twin, scenario.ofdm),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
