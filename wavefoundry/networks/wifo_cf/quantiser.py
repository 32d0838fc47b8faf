"""The mu-law quantiser of codewords: finer steps near 0, 2^bits levels, a gradient that goes straight through."""

import math

import torch


def compress(values: torch.Tensor, companding: float) -> torch.Tensor:
    """ln(1 + mu x) / ln(1 + mu) of values in [0, 1]; mu = 0 changes nothing."""
    return torch.log1p(companding * values) / math.log1p(companding) if companding else values


def expand(values: torch.Tensor, companding: float) -> torch.Tensor:
    """Inverse of `compress`."""
    return torch.expm1(values * math.log1p(companding)) / companding if companding else values


def quantise(values: torch.Tensor, bits: torch.Tensor | int, companding: float) -> torch.Tensor:
    """The step, int64 from 0 to 2^bits - 1, in which each value in [0, 1] lies.

    Choice: the released code rounds up and so has one level more than bits can tell.

    Args:
        values: (...).
        bits: of a value; a whole number, or a tensor that fits `values`.
        companding: mu.
    """
    levels = 2 ** torch.as_tensor(bits, device=values.device)
    steps = (compress(values, companding) * levels).floor().long()
    return steps.clamp_min(0).minimum(levels - 1)


def dequantise(steps: torch.Tensor, bits: torch.Tensor | int, companding: float) -> torch.Tensor:
    """The middle of each step, (...) in (0, 1): half a compressed step away at most."""
    levels = 2 ** torch.as_tensor(bits, device=steps.device)
    return expand((steps + 0.5) / levels, companding)


def straight_through(values: torch.Tensor, quantised: torch.Tensor) -> torch.Tensor:
    """`quantised`, whose gradient is taken for that of `values`."""
    return values + (quantised - values).detach()
