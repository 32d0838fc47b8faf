"""What a network shows of its inside to an objective that compares the insides of two."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch


class HiddenStates(NamedTuple):
    """What an attention sub-layer gives, (batch, token, hidden_size).

    before_residual: what attention adds to the tokens.
    after_residual: the tokens with it, as the next sub-layer reads them.
    """

    before_residual: torch.Tensor
    after_residual: torch.Tensor


@dataclass
class Trace:
    """Inner values that distillation compares; there once `TracedNetwork.solve` has filled them in.

    embedding: (batch, token of the encoder, hidden_size), before positions are added.
    encoder_attention, decoder_attention: one (batch, head, token, token) per layer.
    encoder_hidden, decoder_hidden: of the last attention sub-layer.
    output: complex, what the network answers, of any shape; the same unit in all networks that solve one task.
    """

    embedding: torch.Tensor = field(init=False)
    encoder_attention: list[torch.Tensor] = field(default_factory=list)
    decoder_attention: list[torch.Tensor] = field(default_factory=list)
    encoder_hidden: HiddenStates = field(init=False)
    decoder_hidden: HiddenStates = field(init=False)
    output: torch.Tensor = field(init=False)


@runtime_checkable
class TracedNetwork(Protocol):
    """An encoder and a decoder of transformer layers whose training task is drawn apart from being solved, so that two
    networks can solve the same one."""

    options: Any

    def draw(self, csi: torch.Tensor, generator: torch.Generator) -> Any:
        """The task of one training step on complex (batch, time, antenna, subcarrier)."""

    def draw_all(self, csi: torch.Tensor, generator: torch.Generator) -> list[Any]:
        """One task of every masking strategy that `draw` draws from, all on the same channels; of a network without
        strategies the one task."""

    def solve(self, task: Any, trace: Trace | None = None) -> dict[str, torch.Tensor]:
        """The loss on a task that a network of this family has drawn, as `forward` returns it; inner values go into
        `trace`."""


def mean_losses(solved: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Means of the losses of several tasks, by name; each over the tasks that have it."""
    names = dict.fromkeys(name for losses in solved for name in losses)
    return {name: torch.stack([losses[name] for losses in solved if name in losses]).mean() for name in names}
