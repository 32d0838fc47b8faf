"""A network's own answer, mixed with linear prediction; ours.

Linear prediction fits its coefficients to every channel anew, from few slots; a network has seen many channels. They
err in part differently. A small network weighs them, for every sequence and every slot that is predicted, by what is
known and what both say. It sees all of it turned and scaled by what is known, so that a complex factor of the channel
changes no weight.
"""

import torch
from torch import nn

from wavefoundry.networks.sequences.sequence_options import Mixing

# The share of the network's own answer to begin with, as the logit of a sigmoid: a third, for linear prediction is good
# from the first step on.
FIRST_LOGIT = -0.7
# Largest magnitude that is read, in units of what is known.
LARGEST = 10.0


class Mixture(nn.Module):
    """See the module."""

    def __init__(self, options: Mixing, slots: int, horizon: int, width: int):
        """
        Args:
            options: settings.
            slots: known slots of a sequence.
            horizon: slots that are predicted.
            width: complex values of a slot.
        """
        super().__init__()
        values, logits = 2 * width * (slots + 2 * horizon), nn.Linear(options.hidden_size, horizon)
        nn.init.constant_(logits.bias, FIRST_LOGIT)
        self.layers = nn.Sequential(nn.Linear(values, options.hidden_size), nn.ReLU(), logits)

    def forward(
        self, known: torch.Tensor, own: torch.Tensor, linear: torch.Tensor, turns: torch.Tensor | None
    ) -> torch.Tensor:
        """The mixture.

        Args:
            known: complex (sequence, known slot, value).
            own: what the network says follows, complex (sequence, horizon, value).
            linear: what linear prediction says.
            turns: of magnitude 1, by whose conjugate the sequences are turned, (sequence, 1, value or 1); None: they
                are not.

        Returns:
            complex (sequence, horizon, value).
        """
        scale = known.abs().square().mean((1, 2), keepdim=True).sqrt()
        rows = torch.cat([known, own, linear], dim=1)
        parts = torch.view_as_real(rows if turns is None else rows * turns.conj()).flatten(2)
        parts = (parts / scale.clamp_min(torch.finfo(scale.dtype).tiny)).clamp(-LARGEST, LARGEST)
        share = self.layers(parts.flatten(1)).sigmoid()[:, :, None]
        return linear + share * (own - linear)
