"""Slots that never arrived, put in from those around them, before anything is predicted.

A slot that is zero on all antennas and subcarriers, among others that are not, is taken to be lost: read as it is, it
would be a fade so sudden that no linear prediction from it is worth anything. The method is that of A. J. E. M.
Janssen, R. N. J. Veldhuis and L. B. Vries, "Adaptive Interpolation of Discrete-Time Signals that can be Modeled as
Autoregressive Processes", IEEE Transactions on Acoustics, Speech, and Signal Processing, 1986: the series of every
angle-delay bin is taken to be autoregressive, and its lost entries are those that leave the least square prediction
errors. Two things are ours: the autoregression is fitted by the predictor's own lattice, over entries that have
arrived, with its sums pooled over the bins around; and errors are counted forward and backward, as the lattice counts
them, so that the first entries are determined like the last ones. Where no two slots in a row have arrived, nothing
says how the series turn: zeros stay.
"""

import torch

from wavefoundry.csi.bins import from_bins, power, to_bins
from wavefoundry.csi.linear_prediction import lattice
from wavefoundry.csi.normalisation import rms_scale

# Past slots in the autoregression, but no more than half of the block, so that every entry is the newest of a forward
# or the oldest of a backward error. Of 1 to 4 the best on the validation split, where one slot in ten is lost.
ORDER = 2


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
    given, lost = known[some], lost[some]
    scale = rms_scale(given).double()
    series = to_bins(given.to(torch.complex128) / scale, "time")
    found = (from_bins(interpolate(series, lost), "time") * scale).to(known.dtype)
    return known.index_put((some,), torch.where(lost[:, :, None, None], found, given))


def interpolate(series: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """Series of bins with their lost entries put in, by the normal equations of the least squares.

    Args:
        series: complex (batch, row, column, step), zero where it is lost.
        lost: bool (batch, step).
    """
    length = series.shape[-1]
    order = min(ORDER, length // 2)
    (filters,), _ = lattice(series, [order], ~lost)
    unknown = lost[:, None, None].to(series.real.dtype)
    bands = normal_bands(filters, length)
    right = -unknown * banded_product(bands, series)
    # Entries that have arrived have the equation x = 0: what is found is what to add.
    bands = [
        band * unknown[..., : length - shift] * unknown[..., shift:] if shift else band * unknown + (1 - unknown)
        for shift, band in enumerate(bands)
    ]
    return series + banded_solution(bands, right)


def normal_bands(filters: torch.Tensor, length: int) -> list[torch.Tensor]:
    """The upper bands of the matrix of the normal equations, which is Hermitian.

    Args:
        filters: complex (..., order + 1), the first coefficient 1.
        length: steps of a series, at least twice the order.

    Returns:
        for the shifts 0 ... ORDER, complex (..., length - shift): what the gradient by an entry has of the entry so
        many steps later.
    """
    order, step = filters.shape[-1] - 1, torch.arange(length, device=filters.device)
    bands = []
    for shift in range(ORDER + 1):
        here = step[: length - shift]
        band = torch.zeros(*filters.shape[:-1], len(here), dtype=filters.dtype, device=filters.device)
        for index in range(order - shift + 1):
            # How many errors have the two entries in these places of the filter: of forward ones, and of backward ones.
            forward = (here + index + shift >= order) & (here + index + shift < length)
            backward = (here >= index) & (here < length - order + index)
            product = filters[..., index, None] * filters[..., index + shift, None].conj()
            band = band + product * (forward.to(product.real.dtype) + backward)
        bands.append(band)
    return bands


def banded_product(bands: list[torch.Tensor], series: torch.Tensor) -> torch.Tensor:
    """The Hermitian matrix of these upper bands times series (..., step)."""
    found = bands[0] * series
    for shift in range(1, len(bands)):
        found[..., :-shift] += bands[shift] * series[..., shift:]
        found[..., shift:] += bands[shift].conj() * series[..., :-shift]
    return found


def banded_solution(bands: list[torch.Tensor], right: torch.Tensor) -> torch.Tensor:
    """The solution of Hermitian, positive definite equations of three upper bands, by elimination step by step.

    With the factors L D L^H: the two entries of a row of L left of its diagonal are `near` and `far`.

    Args:
        bands: complex (..., step - shift), of the shifts 0, 1 and 2.
        right: complex (..., step).
    """
    zero = torch.zeros_like(right[..., 0])
    pivots, near, far, eliminated = [zero.real + 1] * 2, [zero, zero], [zero, zero], [zero, zero]
    for step in range(right.shape[-1]):
        far.append(bands[2][..., step - 2].conj() / pivots[-2] if step >= 2 else zero)
        beside = bands[1][..., step - 1].conj() if step >= 1 else zero
        near.append((beside - far[-1] * pivots[-2] * near[-1].conj()) / pivots[-1])
        eliminated.append(right[..., step] - near[-1] * eliminated[-1] - far[-1] * eliminated[-2])
        pivots.append(bands[0][..., step].real - power(near[-1]) * pivots[-1] - power(far[-1]) * pivots[-2])
    found = [zero, zero]
    near, far = [*near, zero, zero], [*far, zero, zero]
    for place in reversed(range(2, len(pivots))):
        rest = near[place + 1].conj() * found[-1] + far[place + 2].conj() * found[-2]
        found.append(eliminated[place] / pivots[place] - rest)
    return torch.stack(found[:1:-1], dim=-1)
