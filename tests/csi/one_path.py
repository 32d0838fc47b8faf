"""The channel of one path."""

import torch


def one_path(angle: float, delay: float, doppler: float, slots: int, antennas: int, subcarriers: int) -> torch.Tensor:
    """CSI (1, slot, antenna, subcarrier) of one path, by its phase [rad] from one to the next along every axis."""
    axes = [torch.arange(size) * phase for size, phase in ((slots, doppler), (antennas, angle), (subcarriers, -delay))]
    time, antenna, subcarrier = torch.meshgrid(*axes, indexing="ij")
    return torch.polar(torch.ones(slots, antennas, subcarriers), (time + antenna + subcarrier).float())[None]
