"""Changes after which a channel is another channel that could have been measured, and noise as a receiver adds it."""

from collections.abc import Sequence

import torch

from wavefoundry.csi.noise import add_noise


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


def random_phase(csi: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Turn each sample, with a probability, by one phase drawn uniformly. CSI or angle-delay maps, (sample, ...)."""
    hit = _hit(csi, probability, generator)
    angles = 2 * torch.pi * torch.rand(len(csi), generator=generator) * hit
    return csi * _per_sample(torch.polar(torch.ones_like(angles), angles), csi)


def random_amplitude(
    csi: torch.Tensor, probability: float, range_db: Sequence[float], generator: torch.Generator
) -> torch.Tensor:
    """Scale each sample, with a probability, by a power drawn uniformly in `range_db` [dB]."""
    hit = _hit(csi, probability, generator)
    low, high = range_db
    power_db = (low + (high - low) * torch.rand(len(csi), generator=generator)) * hit
    return csi * _per_sample(10 ** (power_db / 20), csi)


def random_noise(
    csi: torch.Tensor, probability: float, snr_db: Sequence[float], generator: torch.Generator
) -> torch.Tensor:
    """Add noise to each sample, with a probability, at an SNR drawn uniformly in `snr_db` [dB]."""
    hit = _hit(csi, probability, generator)
    low, high = snr_db
    drawn = low + (high - low) * torch.rand(len(csi), generator=generator)
    return torch.where(_per_sample(hit, csi), add_noise(csi, drawn, generator), csi)


def _hit(csi: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(len(csi), generator=generator) < probability


def _per_sample(values: torch.Tensor, csi: torch.Tensor) -> torch.Tensor:
    return values.to(csi.device).view(-1, *[1] * (csi.ndim - 1))
