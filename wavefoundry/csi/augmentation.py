"""Symmetries of CSI: changes after which a channel is another channel that could have been measured."""

import torch


def random_symmetry(csi: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn CSI by a random phase per sample, and apply each of three mirrors to the whole batch with probability 1/2.

    Reversed time: every path moves the other way. Reversed antennas: every path comes from the mirrored direction.
    Conjugate with reversed subcarriers: both at once, while delays stay.

    Args:
        csi: complex (batch, time, antenna, subcarrier).
        generator: source of randomness, on the CPU.

    Returns:
        complex, like `csi`.
    """
    angles = 2 * torch.pi * torch.rand(csi.shape[0], generator=generator)
    csi = csi * torch.polar(torch.ones_like(angles), angles).to(csi.device)[:, None, None, None]
    reverse_time, reverse_antennas, conjugate = (torch.rand(3, generator=generator) < 0.5).tolist()
    if reverse_time:
        csi = csi.flip(1)
    if reverse_antennas:
        csi = csi.flip(2)
    if conjugate:
        csi = csi.flip(3).conj().resolve_conj()
    return csi
