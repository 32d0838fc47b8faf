"""Which of the tokens that a query may see it attends to: those of the highest routing scores.

Source: model card of LWM-Temporal (arXiv:2603.10024).
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Routing:
    """Each query attends to a fraction of its candidates, at least `minimum` and at most `maximum` of them.

    per_head: whether each head chooses its own, or all heads choose together, by the mean of their scores.
    """

    fraction: float
    minimum: int
    maximum: int
    per_head: bool

    def kept(self, candidates: torch.Tensor) -> torch.Tensor:
        """How many keys a query attends to that has so many candidates, int64 of the same shape."""
        share = torch.ceil(candidates * self.fraction).long().clamp(self.minimum, self.maximum)
        return torch.minimum(share, candidates.long())


def route(scores: torch.Tensor, candidate_count: torch.Tensor, routing: Routing) -> torch.Tensor:
    """Keys that each query attends to.

    Args:
        scores: (batch, head, ..., query, key) routing scores, -inf where not visible.
        candidate_count: (..., query) visible keys of each query, at least one.
        routing: how many to keep.

    Returns:
        bool (batch, head or 1, ..., query, key): the highest of each query, ties included.
    """
    if not routing.per_head:
        scores = scores.mean(dim=1, keepdim=True)
    return scores >= lowest_kept(scores.detach(), routing.kept(candidate_count)).unsqueeze(-1)


def lowest_kept(scores: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The lowest score (..., query) that is kept of scores (..., query, key), if `kept` (query,) of each are."""
    count = int(kept.max())
    place = (count - kept).clamp_max(count - 1).expand(scores.shape[:-1]).unsqueeze(-1)
    return _highest(scores, count).gather(-1, place).squeeze(-1)


def _highest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` highest scores of each query, ascending."""
    if scores.device.type != "cpu" or scores.dtype == torch.bfloat16:
        return scores.topk(count, dim=-1).values.flip(-1)
    # numpy selects in vector registers, several times as fast as topk.
    values = scores.numpy()
    return torch.from_numpy(np.sort(np.partition(values, values.shape[-1] - count, axis=-1)[..., -count:], axis=-1))
