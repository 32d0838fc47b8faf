"""Linear prediction of series of bins: Burg's lattice, and what its filters make of a series.

J. P. Burg, "Maximum Entropy Spectral Analysis", PhD thesis, Stanford University, 1975. That sums are pooled over the
bins around is ours.
"""

import torch

from wavefoundry.csi.bins import AXES, from_bins, pooled, power, to_bins


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


@torch.no_grad()
def continued(known: torch.Tensor, slots: int, subcarriers: int, orders: dict[str, int]) -> torch.Tensor:
    """CSI with what linear prediction says follows it, in double precision.

    Angle-delay bins are continued along the slots, angle-Doppler bins along the subcarriers. What lies beyond both is
    the mean of what either order of the two says, which err in part differently.

    Args:
        known: complex (batch, time, antenna, subcarrier).
        slots: to predict.
        subcarriers: to predict.
        orders: past entries in the prediction along "time" and "frequency"; as many as the known block allows at most.

    Returns:
        complex (batch, time + slots, antenna, subcarrier + subcarriers), like `known`, which comes first in it.
    """
    start = known.to(torch.complex128)
    band = _longer(start, "frequency", subcarriers, orders)
    if not slots:
        return band.to(known.dtype)
    future = _longer(start, "time", slots, orders)
    if subcarriers:
        seen, width = known.shape[1], known.shape[3]
        beyond = _longer(band, "time", slots, orders)[:, seen:, :, width:]
        beyond = (beyond + _longer(future, "frequency", subcarriers, orders)[:, seen:, :, width:]) / 2
        future = torch.cat([band, torch.cat([future[:, seen:], beyond], dim=3)], dim=1)
    return future.to(known.dtype)


def _longer(csi: torch.Tensor, axis: str, steps: int, orders: dict[str, int]) -> torch.Tensor:
    """CSI with so many slots or subcarriers more; a single entry, which says nothing of how it turns, is held."""
    if not steps:
        return csi
    series = to_bins(csi, axis)
    if series.shape[-1] == 1:
        found = series.expand(*series.shape[:-1], steps)
    else:
        (filters,), _ = lattice(series, [orders[axis]])
        found = extrapolate(series, filters, steps)
    return torch.cat([csi, from_bins(found, axis)], dim=AXES[axis])
