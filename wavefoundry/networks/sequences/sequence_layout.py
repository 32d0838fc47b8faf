"""The sequences of a channel: which they are, which of them are learnt from and answered, and the way back to CSI.

As published ("LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440), a sequence is an
antenna port ("parallel antennas") whose slots hold subcarriers. Each is the sum of all paths, which turn at rates of
their own, and no two ports look alike.

Ours are delay taps of angles. A tap holds few paths, and, shown turned to where it was last (`reference: phase`) and
divided by its deviation, taps which turn alike look alike: what is learnt of one serves all of them. Most have hardly
any power; they are drawn for a training step as often as their power says, and each counts by its own relative error,
which makes the step's loss an estimate of the NMSE of the whole channel.
"""

import torch

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.networks.sequences.sequence_options import AngleDelayTaps, AntennaPorts, SequenceOptions


def sequences_of(csi: torch.Tensor, options: SequenceOptions) -> torch.Tensor:
    """CSI of one band, complex (batch, slot, antenna, subcarrier), as (batch, sequence, slot, value)."""
    if isinstance(options.sequences, AntennaPorts):
        return csi.transpose(1, 2)
    taps = to_angle_delay(csi, (1, 1, csi.shape[2]), csi.shape[3]).unflatten(3, (-1, options.width))
    return taps.permute(0, 2, 3, 1, 4).flatten(1, 2)


def csi_of(sequences: torch.Tensor, options: SequenceOptions) -> torch.Tensor:
    """Inverse of `sequences_of`."""
    if isinstance(options.sequences, AntennaPorts):
        return sequences.transpose(1, 2)
    taps = sequences.unflatten(1, (-1, options.link.subcarriers // options.width)).permute(0, 3, 1, 2, 4).flatten(3)
    return to_csi(taps, (1, 1, taps.shape[2]), taps.shape[3])


def draw(
    sequences: torch.Tensor, options: SequenceOptions, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which sequences of each sample are learnt from, and what each counts.

    Args:
        sequences: known slots, complex (batch, sequence, slot, value).
        options: how many, and how they are drawn: ports alike, taps with a chance as their power.
        generator: on the CPU.

    Returns:
        their places, (batch, drawn), all different; weights (batch, drawn), by which the mean over what is drawn
        estimates the mean over all sequences of a sample.
    """
    chances = torch.ones(sequences.shape[:2], dtype=torch.float64)
    if isinstance(options.sequences, AngleDelayTaps):
        # Of silence, whose sequences have no power, all are as likely.
        chances = sequences.abs().square().sum((2, 3)).double().cpu().clamp_min(torch.finfo(torch.float32).tiny)
    chances = chances / chances.sum(1, keepdim=True)
    places = torch.multinomial(chances, options.sequences.drawn, generator=generator)
    weights = 1 / (sequences.shape[1] * chances.gather(1, places))
    return places.to(sequences.device), weights.float().to(sequences.device)


def predicted(sequences: torch.Tensor, options: SequenceOptions) -> torch.Tensor:
    """The places (batch, chosen) of the sequences (batch, sequence, slot, value) that are predicted."""
    of, number = options.sequences, sequences.shape[1]
    if isinstance(of, AntennaPorts) or of.strongest is None or of.strongest >= number:
        return torch.arange(number, device=sequences.device).expand(len(sequences), -1)
    return sequences.abs().square().sum((2, 3)).topk(of.strongest, dim=1).indices


def taken(sequences: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Those of (batch, sequence, slot, value) that stand at places (batch, chosen)."""
    return sequences.gather(1, _of_all_values(places, sequences))


def among(others: torch.Tensor, chosen: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Sequences (batch, sequence, slot, value) with `chosen` (batch, chosen, slot, value) at places (batch, chosen)."""
    return others.scatter(1, _of_all_values(places, chosen), chosen)


def _of_all_values(places: torch.Tensor, sequences: torch.Tensor) -> torch.Tensor:
    return places[:, :, None, None].expand(-1, -1, *sequences.shape[2:])
