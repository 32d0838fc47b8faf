"""MCAKD: what a student takes from its teacher beside the training task ("Tiny-WiFo: A Lightweight
Wireless Foundation Model for Channel Prediction via Multi-Component Adaptive Knowledge Distillation", arXiv:2511.04015,
section III).

Three terms of equal weight: attention weights of every layer and head, the embedding, and the hidden states after the
last attention sub-layer of encoder and decoder. The last two pick the dimensions of the wider teacher by CA-KS.
"""

import math
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from wavefoundry.networks.trace import Trace, TracedNetwork, mean_losses
from wavefoundry.objectives.beside_teacher import BesideTeacher
from wavefoundry.objectives.mcakd.options import Options


class KnowledgeSelection(nn.Module):
    """CA-KS: the dimensions of the teacher that are most relevant to the student's tokens.

    Cross attention, student tokens as queries and teacher tokens as keys, weighs the teacher's tokens; the importance
    of a teacher dimension is the mean magnitude of what it carries there, and the most important ones are kept, in
    descending order. (The paper projects values too, but its importance is taken of the unprojected tokens.)

    The paper sums over tokens and is silent about the samples of a batch: either each sample has dimensions of its own,
    or all of a batch have the same ones. Either way the order, and so what a dimension of the student is compared with,
    differs from step to step. With a memory it is that of a running mean over the steps, which comes to rest.

    Taking the top dimensions passes no gradient to the projections. They are trained straight-through: the chosen
    columns carry a factor that is 1, and whose gradient is that of the softmax over the importances. The student's
    tokens steer the choice without being trained by it.
    """

    drawn: torch.Tensor
    remembered: torch.Tensor

    def __init__(
        self,
        student_size: int,
        teacher_size: int,
        heads: int,
        selection: Literal["cross_attention", "random", "first"] = "cross_attention",
        of: Literal["batch", "sample"] = "batch",
        memory: float = 0.0,
    ):
        super().__init__()
        self.heads = heads
        self.selection = selection
        self.of = of
        self.memory = memory
        self.query = nn.Linear(student_size, student_size, bias=False)
        self.key = nn.Linear(teacher_size, student_size, bias=False)
        # The ablation "random": drawn once.
        self.register_buffer("drawn", torch.randperm(teacher_size)[:student_size])
        # Of past steps; a buffer, so that an interrupted training goes on with it.
        self.register_buffer("remembered", torch.zeros(teacher_size))

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Select.

        Args:
            student: (batch, token, student_size).
            teacher: (batch, token, teacher_size); as many tokens, any number.

        Returns:
            (batch, token, student_size): columns of `teacher`.
        """
        if self.selection == "random":
            return teacher[..., self.drawn]
        if self.selection == "first":
            return teacher[..., : student.shape[-1]]
        importance = self.importance(student, teacher)
        chosen = self._remember(importance).topk(student.shape[-1]).indices
        share = importance.softmax(-1).take_along_dim(chosen, -1)
        return teacher.take_along_dim(chosen[:, None], -1) * (1 + (share - share.detach()))[:, None]

    def importance(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """(1, teacher_size) of a batch, or (batch, teacher_size) of its samples; means, for sums would saturate the
        softmax."""
        query = self.query(student.detach()).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key = self.key(teacher).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1).mean(1)
        carried = (weights @ teacher).abs()
        return carried.mean((0, 1))[None] if self.of == "batch" else carried.mean(1)

    @torch.no_grad()
    def _remember(self, importance: torch.Tensor) -> torch.Tensor:
        """What the choice is made by: the importance, with that of the steps before where there is a memory."""
        if not self.memory:
            return importance
        self.remembered.lerp_(importance[0].to(self.remembered), 1 - self.memory)
        return self.remembered[None]


class Distillation(BesideTeacher):
    """The training task, and the terms of MCAKD. While `passive` is false the teacher is not run."""

    def __init__(self, student: PreTrainedModel, teacher: PreTrainedModel, config: Options):
        super().__init__(student, teacher, config)
        assert isinstance(student, TracedNetwork) and isinstance(teacher, TracedNetwork)  # `Options.why_not` says so
        self.passive = True
        sizes = student.options.architecture.hidden_size, teacher.options.architecture.hidden_size
        parts = (["embedding"] if config.embedding else []) + (["encoder", "decoder"] if config.hidden else [])
        self.selections = nn.ModuleDict(
            {
                part: KnowledgeSelection(
                    *sizes, config.selection_heads, config.selection, config.importance, config.memory
                )
                for part in parts
            }
        )

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step; teacher and student solve the same puzzles.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of the puzzles, on the CPU.

        Returns:
            "loss"; "self_loss", the student's own; that of each masking strategy; and while passive "attention_loss",
            "embedding_loss" and "hidden_loss" as far as they are switched on, unweighted. Means over the strategies.
        """
        return mean_losses([self._solve(puzzle, csi.device) for puzzle in self.student.draw_all(csi, generator)])

    def _solve(self, puzzle: Any, device: torch.device) -> dict[str, torch.Tensor]:
        """The losses of one puzzle."""
        if not self.passive:
            own = self.student.solve(puzzle)
            return own | {"self_loss": own["loss"].detach()}
        student, teacher = Trace(), Trace()
        own = self.student.solve(puzzle, student)
        with torch.no_grad():
            self.teacher_on(device).solve(puzzle, teacher)
        terms = self.terms(student, teacher)
        loss = own["loss"] + self.settings.weight * sum(terms.values())
        report = {f"{name}_loss": term.detach() for name, term in terms.items()}
        return own | {"loss": loss, "self_loss": own["loss"].detach()} | report

    def terms(self, student: Trace, teacher: Trace) -> dict[str, torch.Tensor]:
        """The terms of the distillation loss that are switched on."""
        terms = {}
        if self.settings.attention:
            terms["attention"] = attention_distance(
                student.encoder_attention, teacher.encoder_attention
            ) + attention_distance(student.decoder_attention, teacher.decoder_attention)
        if self.settings.embedding:
            terms["embedding"] = self._distance("embedding", student.embedding, teacher.embedding)
        if self.settings.hidden:
            taken = attrgetter(self.settings.hidden_state)
            terms["hidden"] = self._distance(
                "encoder", taken(student.encoder_hidden), taken(teacher.encoder_hidden)
            ) + self._distance("decoder", taken(student.decoder_hidden), taken(teacher.decoder_hidden))
        return terms

    def _distance(self, part: str, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Mean square error, as the paper has it, or relative to the power of what was selected.

        Choice: hidden states grow with depth and width, and without the division they drown the other terms.
        """
        selected = self.selections[part](student, teacher)
        error = F.mse_loss(student, selected)
        return error if self.settings.distance == "plain" else error / selected.detach().square().mean()


def attention_distance(student: list[torch.Tensor], teacher: list[torch.Tensor]) -> torch.Tensor:
    """1 - cosine of the attention maps, mean over layers, heads and batch.

    Choice: the paper's students are as deep as their teacher, but for that of WiFo-CF, of which it says nothing. A
    student of half the depth is compared with every second layer of its teacher, the last one among them (as in
    TinyBERT, arXiv:1909.10351); of any depth that divides the teacher's likewise.

    Args:
        student, teacher: one (batch, head, token, token) per layer.
    """
    apart = len(teacher) // len(student)
    distances = [
        1 - F.cosine_similarity(own.flatten(2), shown.flatten(2), dim=-1)
        for own, shown in zip(student, teacher[apart - 1 :: apart], strict=True)
    ]
    return torch.stack(distances).mean()
