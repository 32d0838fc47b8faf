"""Samples without any power, of which no error is a share."""

import torch


def silent(csi: torch.Tensor) -> torch.Tensor:
    """Which samples are zero throughout: (sample, ...) -> bool (sample,)."""
    return ~(csi != 0).flatten(1).any(dim=1)
