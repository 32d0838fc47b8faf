"""Statistics of a prediction and their aggregation."""

import math

import torch


def nmse(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Normalised mean square error of each sample: |h_hat - h|^2 / |h|^2, both summed over all but the first axis.

    Args:
        predicted, target: complex (sample, ...).

    Returns:
        real float64 (sample,).
    """
    error = (predicted - target).to(torch.complex128).abs().square().flatten(1).sum(dim=1)
    return error / target.to(torch.complex128).abs().square().flatten(1).sum(dim=1)


def to_db(ratio: float) -> float:
    """Power ratio in dB."""
    return 10 * math.log10(ratio)
