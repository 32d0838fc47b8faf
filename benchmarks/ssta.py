"""Sparse spatio-temporal attention against dense attention: one layer, one CPU thread, 704 to 22,528 tokens.

python -m benchmarks.ssta: about two minutes. The windows are those of the LWM-Temporal card, 8 heads of width 4.
Peers: torch's fused scaled_dot_product_attention over all pairs, and naive attention (softmax of the N x N scores)
where it fits. Memory is what the peak resident size of a forked process (VmHWM, reset before the call) rises by during
one call, tables included; for naive attention beyond NAIVE_TOKENS it is two arrays of scores, computed.

Slopes are those of the straight line through the logarithms, over three sweeps: more slots, more angles, more delays.
In the last one the work itself grows faster than the tokens, as windows fit better into the grid: beside its slope
stands that of the visible pairs.
"""

import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.timing import medians
from wavefoundry.evaluation.efficiency import peak_memory
from wavefoundry.networks.lwm_temporal.ssta import Routing, Windows, build_tables, candidates, sparse_attention

CARD = Windows(2, (-4, -3, -2, -1, 1, 2, 3), 2, 1, 1)
ROUTING = Routing(0.2, 32, per_head=True)
HEADS, WIDTH = 8, 4
DELAYS = [(11, 32, columns) for columns in (2, 4, 8, 16, 32, 64)]  # 11 slots and 32 antennas of the card
SWEEPS = {
    "slots": [(slots, 8, 8) for slots in (11, 22, 44, 88, 176, 352)],
    "angles": [(11, angles, 8) for angles in (8, 16, 32, 64, 128, 256)],
    "delays": DELAYS,
}
NAIVE_TOKENS = 5632
COMPARED, TRAINED = (11, 32, 8), (11, 32, 32)
ROUNDS, SWEEP_ROUNDS = 3, 7


def inputs(grid: tuple[int, int, int], requires_grad: bool = False) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (1, HEADS, math.prod(grid), WIDTH)
    return [torch.randn(size, generator=generator).requires_grad_(requires_grad) for _ in range(3)]


def naive(query, key, value):
    return (query @ key.transpose(-1, -2) * WIDTH**-0.5).softmax(dim=-1) @ value


def methods(grid: tuple[int, int, int], parts: list[torch.Tensor]) -> dict[str, Callable]:
    bias = torch.randn(parts[0].shape[:3], generator=torch.Generator().manual_seed(1))
    calls = {
        "sparse": lambda: sparse_attention(*parts, None, grid, CARD, None),
        "sparse_biased": lambda: sparse_attention(*parts, bias, grid, CARD, None),
        "dense": lambda: scaled_dot_product_attention(*parts),
    }
    if math.prod(grid) <= NAIVE_TOKENS:
        calls["naive"] = lambda: naive(*parts)
    return calls


def warm_up() -> None:
    """Every method on a small grid, so that the tables of the grid that is measured still count."""
    grid = (2, 8, 8)
    for call in methods(grid, inputs(grid)).values():
        call()


def slope(tokens: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log(tokens), np.log(values), 1)[0])


def tables_of(grid: tuple[int, int, int]) -> dict[str, float]:
    build_tables.cache_clear()
    start = time.perf_counter()
    tables = build_tables(grid, CARD, 0, torch.device("cpu"))
    seconds = time.perf_counter() - start
    size = sum(part.nbytes for tiles in tables for part in (tiles.query, tiles.key, tiles.mask))
    return {"seconds": seconds, "bytes": size}


def visible_pairs(grid: tuple[int, int, int]) -> int:
    tables = build_tables(grid, CARD, 0, torch.device("cpu"))
    return sum(len(tiles.query) * int((tiles.mask == 0).sum()) for tiles in tables)


def sweep(grids: list[tuple[int, int, int]]) -> dict:
    """Sparse attention alone: times, memory, pairs, and their slopes."""
    measured = {"seconds": [], "bytes": [], "visible_pairs": []}
    for grid in grids:
        call = methods(grid, inputs(grid))["sparse"]
        build_tables.cache_clear()
        measured["bytes"].append(peak_memory(call, warm_up))
        measured["seconds"].append(medians({"sparse": call}, SWEEP_ROUNDS)["sparse"])
        measured["visible_pairs"].append(visible_pairs(grid))
    tokens = [math.prod(grid) for grid in grids]
    return {"grids": grids, **measured, "slopes": {name: slope(tokens, values) for name, values in measured.items()}}


def difference() -> float:
    """Largest difference to softmax attention under the dense mask."""
    query, key, value = inputs(COMPARED)
    scores = (query @ key.transpose(-1, -2) * WIDTH**-0.5).masked_fill(~candidates(COMPARED, CARD), -torch.inf)
    return float(
        (scores.softmax(dim=-1) @ value - sparse_attention(query, key, value, None, COMPARED, CARD, None)).abs().max()
    )


def forward_backward(function: Callable, parts: list[torch.Tensor]) -> Callable:
    return lambda: torch.autograd.grad(function().sum(), parts)


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for grid in DELAYS:
        tokens = math.prod(grid)
        with torch.no_grad():
            calls = methods(grid, inputs(grid))
            build_tables.cache_clear()
            memory = {name: peak_memory(call, warm_up) for name, call in calls.items()}
            memory.setdefault("naive", 2 * 4 * HEADS * tokens**2)
            row = {"grid": grid, "tokens": tokens, "tables": tables_of(grid), "bytes": memory}
            row["seconds"] = medians(calls, ROUNDS)
        row["dense_by_sparse"] = row["seconds"]["dense"] / row["seconds"]["sparse"]
        row["naive_by_sparse_memory"] = memory["naive"] / memory["sparse"]
        rows.append(row)
        print(json.dumps(row), flush=True)
    with torch.no_grad():
        sweeps = {name: sweep(grids) for name, grids in SWEEPS.items()}
        parts = inputs(COMPARED)
        routed = medians({"sparse": lambda: sparse_attention(*parts, None, COMPARED, CARD, ROUTING)}, ROUNDS)["sparse"]
    parts = inputs(TRAINED, requires_grad=True)
    training = {name: forward_backward(methods(TRAINED, parts)[name], parts) for name in ("sparse", "dense")}
    training_memory = {name: peak_memory(call, warm_up) for name, call in training.items()}
    result = {
        "heads": HEADS,
        "head_width": WIDTH,
        "sizes": rows,
        "sweeps": sweeps,
        "training": {"grid": TRAINED, "seconds": medians(training, 1), "bytes": training_memory},
        "routed": {"grid": COMPARED, "seconds": routed},
        "largest_difference": difference(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
