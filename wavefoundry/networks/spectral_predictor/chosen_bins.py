"""The strongest bins of a channel, and the others."""

import torch

from wavefoundry.csi.bins import power


def strongest(series: torch.Tensor, count: int) -> torch.Tensor:
    """Positions (batch, count) of the bins of (batch, row, column, step) with the most power, the strongest first."""
    return power(series).sum(-1).flatten(1).topk(count, dim=1).indices


def others_than(chosen: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
    """1 for the bins of (batch, row, column, step) that are not among those at the positions `chosen`, 0 for those."""
    weak = torch.ones_like(series[..., 0].real).flatten(1)
    return weak.scatter(1, chosen, 0.0).unflatten(1, series.shape[1:3])


def pick(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(batch, row, column, value) and (batch, chosen bin) -> (batch, chosen bin, value)."""
    return values.flatten(1, 2).take_along_dim(chosen[..., None], dim=1)
