"""Feed-forward layers made of experts: each token passes the few that a gate chooses, and shared ones.

Source: Liu et al., "WiFo-CF: Wireless Foundation Model for CSI Feedback", arXiv:2508.04068, and its released code: a
softmax over all routed experts, of which the largest values are the weights, not brought back to a sum of 1.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from wavefoundry.networks.wifo_cf.options import Experts


@dataclass
class Routing:
    """What gates have done, layer by layer, in the order in which the layers are passed.

    gates: (token, expert), softmax over all routed experts.
    chosen: (token, choice), numbers of experts.
    """

    gates: list[torch.Tensor] = field(default_factory=list)
    chosen: list[torch.Tensor] = field(default_factory=list)


def balance_loss(gates: torch.Tensor, chosen: torch.Tensor, kind: Literal["switch", "released"]) -> torch.Tensor:
    """How uneven experts are used: E x sum over experts of f p, with E experts of which k are chosen for a token.

    f is the number of times that an expert is chosen, per token. "switch" (Fedus et al., arXiv:2101.03961): p is its
    mean gate over all tokens; a flat gate and even choices give k. "released" (WiFo-CF's code): p counts the gate only
    where the expert is chosen; then the same give k^2 / E, and a gate is rewarded for being flat.

    Args:
        gates, chosen: of one layer, see `Routing`.
    """
    experts = gates.shape[1]
    used = F.one_hot(chosen, experts).sum(1).to(gates.dtype)
    share = (gates if kind == "switch" else gates * used).mean(0)
    return experts * (used.mean(0) * share).sum()


class SwiGLU(nn.Module):
    """W2 (silu(W1 x) * (W3 x)), with biases."""

    def __init__(self, size: int, hidden_size: int):
        super().__init__()
        self.gate = nn.Linear(size, hidden_size)
        self.value = nn.Linear(size, hidden_size)
        self.out = nn.Linear(hidden_size, size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(F.silu(self.gate(tokens)) * self.value(tokens))


class ExpertLayer(nn.Module):
    """Routed experts, and one shared expert that is as wide as `shared` of them."""

    def __init__(self, size: int, experts: Experts, shared: int):
        super().__init__()
        self._chosen = experts.chosen
        self.router = nn.Linear(size, experts.routed, bias=False)
        self.experts = nn.ModuleList(SwiGLU(size, experts.hidden_size) for _ in range(experts.routed))
        self.shared = SwiGLU(size, shared * experts.hidden_size) if shared else None

    def forward(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        """(..., size) -> (..., size); what the gate has done goes into `routing`."""
        flat = tokens.flatten(0, -2)
        gates = self.router(flat).float().softmax(-1)
        weights, chosen = gates.topk(self._chosen)
        routing.gates.append(gates)
        routing.chosen.append(chosen)
        # Tokens in the order of their experts, so that each expert works once.
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=len(self.experts)).tolist()
        parts = flat[order // self._chosen].split(counts)
        worked = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True) if len(part)])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        mixed = (worked[back].unflatten(0, chosen.shape) * weights[..., None].to(worked.dtype)).sum(1)
        if self.shared is not None:
            mixed = mixed + self.shared(flat)
        return mixed.view(tokens.shape)
