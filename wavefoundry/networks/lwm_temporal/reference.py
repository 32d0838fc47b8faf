"""By what the network divides every angle-delay bin before it reads it, and multiplies what it makes of it.

A path turns at the same rate whatever its strength and phase. Where frames are to be filled in, what differs by a
complex factor only shall look the same to the network, and so shall what differs by a Doppler shift: a bin that holds
one path is then the same number in every frame. This is ours, the model card of LWM-Temporal knows nothing of it. Where
no frame is hidden, as in the completion of a band, phases of neighbouring bins tell of the delays between them, and
nothing is turned.
"""

import torch

ENERGY_FLOOR = 1e-3  # of the mean energy of a token; what a masked token counts as
LEAST_ENERGY = 1e-30  # mean energy of a silent sample: nothing is divided by zero

# Modes by which every bin has a strength of its own.
OF_EVERY_BIN = ("phase_and_scale", "rotation")


def to_complex(features: torch.Tensor) -> torch.Tensor:
    """real (..., real then imaginary parts) -> complex."""
    return torch.complex(*features.chunk(2, dim=-1))


def to_features(values: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_complex`."""
    return torch.cat([values.real, values.imag], dim=-1)


def reference(
    tokens: torch.Tensor, mask: torch.Tensor, mean_energy: torch.Tensor, frames: int, mode: str
) -> torch.Tensor:
    """The factor of every bin, which is the same in all frames but for the Doppler shift.

    Args:
        tokens: real (batch, token, real then imaginary parts of the bins); hidden ones are 0.
        mask: (batch, token), True where a token is hidden. Tokens are in the order time, then position.
        mean_energy: (batch, 1), mean square of the features of the tokens that are not hidden.
        frames: number of them.
        mode: "none": the RMS over the visible frames of all bins at the token's position; "phase": this, and the phase
            of the bin's last visible frame; "phase_and_scale": this phase, and the RMS of the bin itself;
            "rotation": these two, turned on from frame to frame by the phase of the bin's sum of
            products of each visible frame with the conjugate of the one before (pulse-pair estimate of its Doppler
            shift), where that is visible, too. Where no frame of a position is visible the mean energy stands for its
            own, and nothing is turned. Samples of which nothing is hidden have the reference "none".

    Returns:
        complex (batch, token, bin).
    """
    bins = to_complex(tokens).unflatten(1, (frames, -1))
    visible = (~mask).unflatten(1, (frames, -1))
    seen, count = visible.any(dim=1).unsqueeze(-1), visible.sum(dim=1).clamp_min(1).unsqueeze(-1)
    # Per real part, as energies of tokens are.
    energy = bins.abs().square().sum(dim=1) / 2
    common, complete = energy.mean(dim=-1, keepdim=True).expand_as(energy), ~mask.any(dim=1)[:, None, None]
    energy = torch.where(complete, common, energy) if mode in OF_EVERY_BIN else common
    mean_energy = mean_energy.unsqueeze(-1)
    scale = torch.where(seen, (energy + ENERGY_FLOOR * mean_energy) / count, mean_energy).sqrt()
    factor = torch.complex(scale, torch.zeros_like(scale))
    if mode != "none":
        order = torch.arange(1, frames + 1, device=tokens.device)[:, None]
        last = (visible * order).amax(dim=1).sub(1).clamp_min(0)
        turn = _turn(bins.gather(1, last[:, None, :, None].expand(-1, 1, -1, bins.shape[-1]))[:, 0])
        factor = torch.where(complete, factor, factor * turn)
    factor = factor.unsqueeze(1).expand(-1, frames, -1, -1)
    if mode == "rotation":
        shift = (bins[:, 1:] * bins[:, :-1].conj()).sum(dim=1).angle().masked_fill(complete, 0.0)
        ahead = torch.arange(frames, device=tokens.device)[:, None] - last.unsqueeze(1)  # (batch, frame, position)
        turned = ahead.unsqueeze(-1) * shift.unsqueeze(1)
        factor = factor * torch.polar(torch.ones_like(turned), turned)
    return factor.flatten(1, 2)


def _turn(values: torch.Tensor) -> torch.Tensor:
    """Of length one and with the phase of `values`; 1 where they are 0."""
    # By the angle: divided by lengths whose squares vanish, complex numbers become NaN.
    angle = values.angle()
    return torch.polar(torch.ones_like(angle), angle)


def strength(factor: torch.Tensor, mean_energy: torch.Tensor, mode: str) -> torch.Tensor:
    """What the division takes away and the network is told: log of the energy relative to the mean.

    Args:
        factor: of `reference`.
        mean_energy: as there.
        mode: as there.

    Returns:
        (batch, token, bin) of a mode by which every bin has a strength of its own, else (batch, token, 1).
    """
    energy = factor.abs().square()
    energy = energy if mode in OF_EVERY_BIN else energy[..., :1]
    return (energy / mean_energy.unsqueeze(-1)).log()
