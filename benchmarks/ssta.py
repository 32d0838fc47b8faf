"""Sparse spatio-temporal attention against dense attention over all pairs, one layer, one CPU thread

`python -m benchmarks.ssta [TOKENS ...]`. Grids of (slots, angles, delays): the default study's, then those of the
LWM-Temporal card, with ever more delays; 8 heads of width 4. The corridor is the published one or our wide one; with
routing (the card's default) each head attends to the best 20 % of what it sees, at least 8 and at most 32 keys, and
without it to all of them. Medians after a warm-up; in brackets, how many times as fast as torch's fused
scaled_dot_product_attention over all pairs. FlexAttention knows no routing and, on a CPU, no backward pass. Memory is
what the peak resident size of a process rises by during a forward and a backward pass with routing.
"""

import argparse
import json
import math
from collections.abc import Callable

import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

from benchmarks.timing import medians
from stages.stage import clear_errors
from wavefoundry.errors import InputError
from wavefoundry.evaluation.efficiency import peak_memory
from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.flex import FLEX_WIDTH, flex_blocks
from wavefoundry.networks.lwm_temporal.routing import Routing
from wavefoundry.networks.lwm_temporal.ssta import dense_attention, sparse_attention
from wavefoundry.report.tables import markdown_table, significant

HEADS, WIDTH = 8, 4
OFFSETS = (-4, -3, -2, -1, 1, 2, 3)
CORRIDORS = {name: Windows(2, OFFSETS, 2, 1, 1, name) for name in ("published", "wide")}
ROUTINGS = {"routed": Routing(0.2, 8, 32, per_head=True), "all": None}
GRIDS = {
    math.prod(grid): grid for grid in [(16, 4, 4), (11, 32, 2), (11, 32, 8), (11, 32, 32), (11, 32, 64)]
}  # 11 slots and 32 antennas of the card
SIZES = (256, 2816, 11264, 22528)
COMPARED = 2816  # tokens at most of the comparison with dense attention under a mask
ROUNDS = 3


def inputs(grid: tuple[int, int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (1, HEADS, math.prod(grid), WIDTH)
    return [torch.randn(size, generator=generator).requires_grad_() for _ in range(3)]


def methods(grid: tuple[int, int, int], parts: list[torch.Tensor]) -> dict[str, Callable]:
    calls = {"dense": lambda: scaled_dot_product_attention(*parts)}
    for corridor, windows in CORRIDORS.items():
        for choice, routing in ROUTINGS.items():
            calls[f"{corridor}_{choice}"] = lambda windows=windows, routing=routing: sparse_attention(
                *parts, None, grid, windows, routing
            )
    return calls


def forward(call: Callable) -> Callable:
    return torch.no_grad()(call)


def both(call: Callable, parts: list[torch.Tensor]) -> Callable:
    return lambda: torch.autograd.grad(call().sum(), parts)


def compiled_flex(grid: tuple[int, int, int], parts: list[torch.Tensor]) -> Callable:
    """FlexAttention in the published corridor, forward; raises what torch raises where it cannot be compiled."""
    blocks = flex_blocks(grid, CORRIDORS["published"], 0, torch.device("cpu"))
    padded = [pad(part.detach(), (0, FLEX_WIDTH - WIDTH)).contiguous() for part in parts]
    compiled = torch.compile(flex_attention)

    @torch.no_grad()
    def call():
        return compiled(*padded, block_mask=blocks, scale=WIDTH**-0.5)

    call()
    return call


def largest_difference(grid: tuple[int, int, int], parts: list[torch.Tensor]) -> float:
    """Largest difference to dense attention under the same mask, over corridors and with routing and without."""
    differences = []
    with torch.no_grad():
        for windows in CORRIDORS.values():
            for routing in ROUTINGS.values():
                ours = sparse_attention(*parts, None, grid, windows, routing)
                dense = dense_attention(parts[0] * WIDTH**-0.5, *parts[1:], grid, windows, routing)
                differences.append(float((ours - dense).abs().max()))
    return max(differences)


def measure(grid: tuple[int, int, int]) -> dict:
    parts = inputs(grid)
    calls = methods(grid, parts)
    row: dict = {"grid": grid, "tokens": math.prod(grid)}
    forwards = {name: forward(call) for name, call in calls.items()}
    try:
        forwards["flex_published_all"] = compiled_flex(grid, parts)
    # Whatever it is that a processor, a compiler or a version of torch lacks.
    except Exception as error:
        row["flex"] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    row["forward_seconds"] = medians(forwards, ROUNDS)
    row["both_seconds"] = medians({name: both(call, parts) for name, call in calls.items()}, ROUNDS)
    row["both_bytes"] = {
        name: peak_memory(both(calls[name], parts), lambda: warm_up()) for name in ("dense", "published_routed")
    }
    if row["tokens"] <= COMPARED:
        row["largest_difference"] = largest_difference(grid, parts)
    return row


def warm_up() -> None:
    """Every method on a small grid, so that the tables of the grid that is measured still count."""
    grid = (2, 8, 8)
    parts = inputs(grid)
    for call in methods(grid, parts).values():
        both(call, parts)()


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    names = [f"{corridor}_{choice}" for corridor in CORRIDORS for choice in ROUTINGS]
    words = {"routed": "with routing", "all": "without"}
    header = ["tokens", "pass", "dense [ms]"]
    header += [f"{corridor} {words[choice]} [ms]" for corridor in CORRIDORS for choice in ROUTINGS]
    header += ["FlexAttention, published without [ms]", "dense [MiB]", "published with routing [MiB]"]
    rows = []
    for size in result["sizes"]:
        for key, name in (("forward_seconds", "forward"), ("both_seconds", "forward and backward")):
            seconds = size[key]

            def cell(method, seconds=seconds):
                if method not in seconds:
                    return "-"
                return f"{1e3 * seconds[method]:.1f} ({significant(seconds['dense'] / seconds[method], 2)})"

            memory = ["-", "-"]
            if key == "both_seconds":
                memory = [f"{size['both_bytes'][method] / 2**20:.1f}" for method in ("dense", "published_routed")]
            figures = [f"{1e3 * seconds['dense']:.1f}", *map(cell, [*names, "flex_published_all"]), *memory]
            rows.append([f"{size['tokens']:,}", name, *figures])
    lines = [
        f"FlexAttention at {size['tokens']:,} tokens: {size['flex']}" for size in result["sizes"] if "flex" in size
    ]
    lines += [
        f"Largest difference to dense attention under the same mask at {size['tokens']:,} tokens: "
        f"{size['largest_difference']:.1e}."
        for size in result["sizes"]
        if "largest_difference" in size
    ]
    return "\n\n".join([markdown_table(header, rows), *lines])


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ssta", description=__doc__.splitlines()[0])
    parser.add_argument("tokens", nargs="*", type=int, help=f"sizes of {list(GRIDS)}, by default {list(SIZES)}")
    sizes = parser.parse_args().tokens or SIZES
    for tokens in sizes:
        if tokens not in GRIDS:
            raise InputError(f"tokens {tokens}, allowed: {', '.join(map(str, GRIDS))}")
    torch.set_num_threads(1)
    rows = []
    for tokens in sizes:
        rows.append(measure(GRIDS[tokens]))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"heads": HEADS, "head_width": WIDTH, "threads": 1, "sizes": rows}))


if __name__ == "__main__":
    main()
