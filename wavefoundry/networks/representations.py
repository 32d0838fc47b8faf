"""What every backbone makes of CSI for the tasks built on it."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Representations:
    """What downstream heads see of a batch of snapshots or sequences.

    class_token: (batch, hidden_size), or None of a network without one.
    patches: (batch, token, hidden_size), in the order of the network's tokens, row by row of a grid of patches.
    mean: (batch, hidden_size), over the patches.
    scale: (batch,), the RMS by which each sample was divided.
    """

    class_token: torch.Tensor | None
    patches: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor
