"""Masks of masked channel modelling on a grid of tokens (time, angle, delay); True is hidden.

Source: model card of LWM-Temporal (arXiv:2603.10024), pretraining: `rect`, `tube`, `comb` and `random`.
"""

import numpy as np
import torch

STRATEGIES = ("rect", "tube", "comb", "random")
LONGEST_COMB = 8


def draw_mask(strategy: str, grid: tuple[int, int, int], ratio: float, generator: torch.Generator) -> torch.Tensor:
    """Draw one mask.

    Args:
        strategy: "random": single tokens; "rect": rectangles, drawn anew in each frame; "tube": rectangles that drift
            through the frames with one velocity, as a path does; "comb": all but a regular comb of pilots.
        grid: (time, angle, delay) tokens.
        ratio: share of the tokens to hide; met exactly by random, rect and tube, as closely as a comb can by comb.
        generator: source of randomness.

    Returns:
        bool (time, angle, delay), neither empty nor full.
    """
    frames, rows, columns = grid
    if strategy == "random":
        return _lowest(torch.rand(frames * rows * columns, generator=generator), ratio).view(grid)
    if strategy == "rect":
        return torch.stack([_rectangles(rows, columns, ratio, generator) for _ in range(frames)])
    if strategy == "tube":
        frame = _rectangles(rows, columns, ratio, generator)
        drift = torch.rand(2, generator=generator) * 2 - 1
        steps = [(drift * step).round().int().tolist() for step in range(frames)]
        return torch.stack([frame.roll(shift, dims=(0, 1)) for shift in steps])
    if strategy == "comb":
        return _comb(grid, ratio, generator)
    raise ValueError(f"mask strategy {strategy!r}, allowed: {', '.join(STRATEGIES)}")


def _hidden_count(tokens: int, ratio: float) -> int:
    return min(max(1, round(tokens * ratio)), tokens - 1)


def _lowest(values: torch.Tensor, ratio: float) -> torch.Tensor:
    mask = torch.zeros(len(values), dtype=torch.bool)
    mask[values.argsort()[: _hidden_count(len(values), ratio)]] = True
    return mask


def _rectangles(rows: int, columns: int, ratio: float, generator: torch.Generator) -> torch.Tensor:
    """Cover a frame with rectangles until the ratio is met; the last one is cut to meet it exactly."""
    # numpy: tensors of so few values cost several times as much, and a mask is drawn for every sample of every step.
    mask = np.zeros((rows, columns), dtype=bool)
    missing = _hidden_count(rows * columns, ratio)
    while missing > 0:
        height, width = (1 + _draw(max(1, (size + 1) // 2), generator) for size in (rows, columns))
        top, left = _draw(rows, generator), _draw(columns - width + 1, generator)
        rectangle = np.zeros_like(mask)
        rectangle[np.arange(top, top + height) % rows, left : left + width] = True
        fresh = np.flatnonzero(rectangle & ~mask)[:missing]
        mask.flat[fresh] = True
        missing -= len(fresh)
    return torch.from_numpy(mask)


def _draw(size: int, generator: torch.Generator) -> int:
    return int(torch.randint(size, (1,), generator=generator))


def _comb(grid: tuple[int, int, int], ratio: float, generator: torch.Generator) -> torch.Tensor:
    """Keep `kept` of every `period` positions along a diagonal counter, so that each axis sees a regular comb."""
    period = 2 + _draw(LONGEST_COMB - 1, generator)
    kept = min(max(1, round((1 - ratio) * period)), period - 1)
    strides = [_draw(period, generator) for _ in grid]
    axis = _draw(3, generator)
    strides[axis] = 1
    counter = torch.full((1, 1, 1), _draw(period, generator))
    for dimension, (size, stride) in enumerate(zip(grid, strides, strict=True)):
        shape = [1, 1, 1]
        shape[dimension] = size
        counter = counter + stride * torch.arange(size).view(shape)
    mask = counter % period >= kept
    if mask.all() or not mask.any():
        # A grid shorter than the comb can miss it altogether.
        return _lowest(torch.rand(mask.numel(), generator=generator), ratio).view(grid)
    return mask
