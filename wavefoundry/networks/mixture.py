"""A network's own answer, mixed with linear prediction; ours.

Linear prediction fits its coefficients to every channel anew, from a few slots or subcarriers; a network has seen many
channels. They err in part differently, and a small network weighs them by what it is shown.
"""

import math

import torch
from torch import nn

from wavefoundry.networks.linear_prediction import Mixing

# Largest magnitude that is read, in units of what is known: a linear prediction that runs away says no more than that.
LARGEST = 10.0


class Mixture(nn.Module):
    """How much the network's own answer counts, between 0 and 1; the rest is linear prediction's."""

    def __init__(self, mixing: Mixing, values: int, shares: int):
        """
        Args:
            mixing: settings.
            values: real values that are shown.
            shares: how many answers are weighed at once.
        """
        super().__init__()
        self.first = mixing.first_share
        self.hidden = nn.Linear(values, mixing.hidden_size)
        self.logits = nn.Linear(mixing.hidden_size, shares)
        self.start()

    def start(self) -> None:
        """Weights of the last layer with which all answers are mixed as the settings say."""
        nn.init.zeros_(self.logits.weight)
        nn.init.constant_(self.logits.bias, math.log(self.first / (1 - self.first)))

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        """Shares (..., share), float32, of what is shown, real (..., value) of any precision."""
        shown = shown.clamp(-LARGEST, LARGEST).to(self.hidden.weight.dtype)
        return self.logits(self.hidden(shown).relu()).sigmoid().float()
