"""Bins of channels, whose series are continued along slots or along subcarriers."""

import torch

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi

# Name of an axis, its dimension in CSI (batch, time, antenna, subcarrier).
AXES = {"time": 1, "frequency": 3}
# Weights of the bin before, the bin itself and the bin after, along either axis of bins, where sums are pooled.
NEIGHBOURS = (0.25, 0.5, 0.25)


def to_bins(csi: torch.Tensor, axis: str) -> torch.Tensor:
    """CSI to the series of bins along an axis; unitary.

    Args:
        csi: complex (batch, time, antenna, subcarrier).
        axis: "time", of angle-delay bins, or "frequency", of angle-Doppler bins.

    Returns:
        complex (batch, angle, delay, slot) or (batch, angle, Doppler, subcarrier). The angles are a plain DFT over the
        antennas in their order, whatever the shape of the array.
    """
    if axis == "time":
        return to_angle_delay(csi, (1, 1, csi.shape[2]), csi.shape[3]).permute(0, 2, 3, 1)
    return torch.fft.fft2(csi, dim=(1, 2), norm="ortho").permute(0, 2, 1, 3)


def from_bins(series: torch.Tensor, axis: str) -> torch.Tensor:
    """Inverse of `to_bins`."""
    if axis == "time":
        return to_csi(series.permute(0, 3, 1, 2), (1, 1, series.shape[1]), series.shape[2])
    return torch.fft.ifft2(series.permute(0, 2, 1, 3), dim=(1, 2), norm="ortho")


def power(values: torch.Tensor) -> torch.Tensor:
    """|.|^2 by parts: the modulus of a complex tensor costs a square root, and its gradient a division."""
    return values.real.square() + values.imag.square()


def pooled(values: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the 3 x 3 bins around each: (batch, row, column, ...); rows and columns are circles."""
    before, here, after = NEIGHBOURS
    for dimension in (1, 2):
        values = before * values.roll(1, dimension) + here * values + after * values.roll(-1, dimension)
    return values
