"""The unitary angle-delay transform of CSI, its truncation to early delays, and its inverse.

Source: model card of LWM-Temporal (arXiv:2603.10024): a DFT over antennas, per axis for planar arrays and for each
polarisation alone, and an IDFT over subcarriers, both unitary. With H[n, k] = a exp(j 2 pi n u) exp(-j 2 pi k Delta_f
tau), a path of spatial frequency u (cycles per element) and delay tau peaks at angle bin round(N u) mod N and delay bin
round(K Delta_f tau).
"""

import torch

from wavefoundry.errors import InputError


def to_angle_delay(csi: torch.Tensor, array_shape: tuple[int, int, int], kept_bins: int) -> torch.Tensor:
    """CSI to angle-delay maps.

    Args:
        csi: complex (..., antenna, subcarrier), antennas polarisation by polarisation, row by row.
        array_shape: (polarisations, rows, columns) of the antenna array.
        kept_bins: number of early delay bins that are kept.

    Returns:
        complex (..., angle, delay), angle bins in the order of the antennas; energy is kept when all delay bins are.

    Raises:
        InputError: the array shape does not fit the antennas, or kept_bins is not in 1 ... subcarriers.
    """
    _check(csi.shape[-2], csi.shape[-1], array_shape, kept_bins)
    planar = csi.unflatten(-2, array_shape)
    angles = torch.fft.fftn(planar, dim=(-3, -2), norm="ortho").flatten(-4, -2)
    return torch.fft.ifft(angles, dim=-1, norm="ortho")[..., :kept_bins]


def to_csi(angle_delay: torch.Tensor, array_shape: tuple[int, int, int], subcarriers: int) -> torch.Tensor:
    """Inverse of `to_angle_delay`: delay bins that were cut are taken as zero.

    Args:
        angle_delay: complex (..., angle, delay).
        array_shape: (polarisations, rows, columns) of the antenna array.
        subcarriers: number of subcarriers of the CSI.

    Returns:
        complex (..., antenna, subcarrier).

    Raises:
        InputError: as `to_angle_delay`.
    """
    _check(angle_delay.shape[-2], subcarriers, array_shape, angle_delay.shape[-1])
    frequency = torch.fft.fft(angle_delay, n=subcarriers, dim=-1, norm="ortho")
    planar = frequency.unflatten(-2, array_shape)
    return torch.fft.ifftn(planar, dim=(-3, -2), norm="ortho").flatten(-4, -2)


def _check(antennas: int, subcarriers: int, array_shape: tuple[int, int, int], kept_bins: int) -> None:
    polarisations, rows, columns = array_shape
    if polarisations * rows * columns != antennas:
        raise InputError(
            f"an array of {rows} x {columns} with {polarisations} polarisations does not have the {antennas} "
            "antennas of the CSI"
        )
    if not 1 <= kept_bins <= subcarriers:
        raise InputError(f"{kept_bins} delay bins to keep, allowed: 1 ... {subcarriers}")
