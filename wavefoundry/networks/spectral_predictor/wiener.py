"""Wiener prediction of series whose spectrum is known."""

import math

import torch


def wiener(series: torch.Tensor, spectrum: torch.Tensor, noise: torch.Tensor, horizon: int) -> torch.Tensor:
    """Linear minimum mean square error prediction.

    Args:
        series: complex (..., step).
        spectrum: real (..., line), sum 1, of lines at frequencies 0, 1 / lines, ... cycles per step.
        noise: real (..., 1), power of the white noise in the series, relative to that of the lines.
        horizon: entries to predict.

    Returns:
        complex (..., horizon).
    """
    seen, lines = series.shape[-1], spectrum.shape[-1]
    lag = torch.arange(seen + horizon, device=series.device, dtype=spectrum.dtype)
    angles = 2 * math.pi / lines * torch.arange(lines, device=series.device, dtype=spectrum.dtype)[:, None] * lag
    covariance = torch.complex(spectrum @ angles.cos(), spectrum @ angles.sin())
    covariance = torch.cat([covariance[..., 1:seen].flip(-1).conj(), covariance], dim=-1)
    before = torch.arange(seen, device=series.device)
    after = torch.arange(seen, seen + horizon, device=series.device)
    among = covariance[..., before[:, None] - before + seen - 1]
    among = among + torch.diag_embed(noise.expand(*noise.shape[:-1], seen)).to(series.dtype)
    across = covariance[..., after[:, None] - before + seen - 1]
    return (across @ torch.linalg.solve(among, series[..., None]))[..., 0]
