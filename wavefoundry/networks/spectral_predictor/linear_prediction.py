"""Linear prediction of series of bins: Burg's lattice, what its filters make of a series, and Wiener prediction."""

import math

import torch

from wavefoundry.networks.spectral_predictor.bins import pooled, power


def lattice(
    series: torch.Tensor, orders: list[int], arrived: torch.Tensor | None = None
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Prediction error filters of every bin by Burg's lattice, with sums over steps pooled over the bins around.

    The reflection coefficients have magnitudes of at most 1, so that no prediction grows without bound.

    Args:
        series: complex (batch, row, column, step).
        orders: past steps of each filter; as many as there are before the last step at most.
        arrived: bool (batch, step); errors that involve any other step do not count. None: all steps have arrived.

    Returns:
        The filters, complex (batch, row, column, order + 1), the first coefficient 1, and the mean power of the error
        that the longest one leaves, real (batch, row, column).
    """
    forward = backward = series
    counted = None if arrived is None else arrived[:, None, None].to(series.real.dtype)
    filters = {0: torch.ones_like(series[..., :1])}
    longest = min(max(orders), series.shape[-1] - 1)
    for order in range(1, longest + 1):
        forward, backward = forward[..., 1:], backward[..., :-1]
        if counted is not None:
            counted = counted[..., 1:] * counted[..., :-1]
            forward, backward = counted * forward, counted * backward
        total = pooled((power(forward) + power(backward)).sum(-1))
        cross = pooled((forward * backward.conj()).sum(-1))
        gain = (-2 * cross / total.clamp_min(torch.finfo(torch.float32).tiny))[..., None]
        longer = torch.cat([filters[order - 1], torch.zeros_like(gain)], dim=-1)
        filters[order] = longer + gain * longer.flip(-1).conj()
        forward, backward = forward + gain * backward, backward + gain.conj() * forward
    chosen, left = [filters[min(order, longest)] for order in orders], power(forward)
    return chosen, left.mean(-1) if counted is None else left.sum(-1) / counted.sum(-1).clamp_min(1)


def extrapolate(series: torch.Tensor, filters: torch.Tensor, horizon: int) -> torch.Tensor:
    """Continue series (..., step) by prediction error filters (..., order + 1): (..., horizon)."""
    order = filters.shape[-1] - 1
    weights = -filters[..., 1:].flip(-1)
    past, found = series[..., series.shape[-1] - order :], []
    for _ in range(horizon):
        found.append((past * weights).sum(-1, keepdim=True))
        past = torch.cat([past[..., 1:], found[-1]], dim=-1)
    return torch.cat(found, dim=-1)


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
