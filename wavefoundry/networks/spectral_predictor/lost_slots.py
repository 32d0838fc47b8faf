"""Slots that never arrived, put in from those around them, before anything is predicted.

A slot that is zero on all antennas and subcarriers, among others that are not, is taken to be lost: read as it is, it
would be a fade so sudden that no linear prediction from it is worth anything. The method is that of A. J. E. M.
Janssen, R. N. J. Veldhuis and L. B. Vries, "Adaptive Interpolation of Discrete-Time Signals that can be Modeled as
Autoregressive Processes", IEEE Transactions on Acoustics, Speech, and Signal Processing, 1986: the series of every
angle-delay bin is taken to be autoregressive, and its lost entries are those that leave the least square prediction
errors. Two things are ours: the autoregression is fitted by the predictor's own lattice, over entries that have
arrived, with its sums pooled over the bins around; and errors are counted forward and backward, so that lost slots at
the end, or in a row, are determined too. Where no two slots in a row have arrived, nothing says how the series turn:
zeros stay.
"""

import torch

from wavefoundry.networks.spectral_predictor.bins import from_bins, power, to_bins
from wavefoundry.networks.spectral_predictor.linear_prediction import lattice

# Past slots in the autoregression, but no more than half of what is known: every entry then leads at least one error,
# forward or backward. Of 1 to 4 the best on the validation split, where one slot in ten is lost.
ORDER = 2
TINY = torch.finfo(torch.float32).tiny


def with_lost_slots(known: torch.Tensor) -> torch.Tensor:
    """CSI with estimates in place of the slots that are lost.

    Args:
        known: complex64 (batch, time, antenna, subcarrier).

    Returns:
        The same where no slot is lost, or all of a sample are; otherwise a new tensor with equal values elsewhere.
    """
    lost = (known == 0).flatten(2).all(2)
    some = lost.any(1) & ~lost.all(1)
    if not some.any():
        return known
    series = to_bins(known[some].to(torch.complex128), "time")
    found = from_bins(interpolate(series, lost[some]), "time").to(known.dtype)
    return known.index_put((some,), torch.where(lost[some][:, :, None, None], found, known[some]))


def interpolate(series: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """Series of bins with their lost entries put in.

    The normal equations of the least squares, one system for each bin, are solved by the method of conjugate gradients,
    which takes as many turns as entries are lost.

    Args:
        series: complex (batch, row, column, step), zero where it is lost.
        lost: bool (batch, step).
    """
    order = min(ORDER, series.shape[-1] // 2)
    (filters,), _ = lattice(series, [order], ~lost)
    unknown = lost[:, None, None].to(series.real.dtype)
    found, rest = series, -unknown * normal(series, filters)
    direction, left = rest, power(rest).sum(-1, keepdim=True)
    for _ in range(int(lost.sum(1).max())):
        image = unknown * normal(direction, filters)
        step = left / (direction.conj() * image).real.sum(-1, keepdim=True).clamp_min(TINY)
        found, rest = found + step * direction, rest - step * image
        before, left = left, power(rest).sum(-1, keepdim=True)
        direction = rest + left / before.clamp_min(TINY) * direction
    return found


def normal(series: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Half the gradient of the square prediction errors, forward and backward, by the series (..., step).

    Args:
        series: complex (..., step).
        filters: complex (..., order + 1), the first coefficient 1.
    """
    length, taps = series.shape[-1], filters.shape[-1]
    errors = length - taps + 1
    forward = sum(filters[..., [i]] * series[..., taps - 1 - i :][..., :errors] for i in range(taps))
    backward = sum(filters[..., [i]].conj() * series[..., i : i + errors] for i in range(taps))
    found = torch.zeros_like(series)
    for i in range(taps):
        found[..., taps - 1 - i :][..., :errors] += filters[..., [i]].conj() * forward
        found[..., i : i + errors] += filters[..., [i]] * backward
    return found
