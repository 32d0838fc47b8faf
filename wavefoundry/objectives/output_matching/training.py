"""The training of a student that gives the answers of its teacher."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.networks.trace import Trace, TracedNetwork, mean_losses
from wavefoundry.objectives.output_matching.options import Options
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train


class OutputMatching(nn.Module):
    """A student in training with its teacher; only `student` is worth keeping afterwards.

    The teacher is frozen and no part of the module's parameters, state or checkpoints.
    """

    def __init__(self, student: PreTrainedModel, teacher: PreTrainedModel, weight: float):
        super().__init__()
        assert isinstance(student, TracedNetwork) and isinstance(teacher, TracedNetwork)  # `Options.why_not` says so
        self.student = student
        # In a tuple, hidden from nn.Module.
        self._teacher = (teacher.eval().requires_grad_(False),)
        self._weight = weight

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step; teacher and student solve the same tasks.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of the tasks, on the CPU.

        Returns:
            What the student's `solve` returns, with "loss"; "self_loss", the student's own; "output_loss", unweighted.
            Means over the tasks of a step, of which a network with masking strategies has one for each.
        """
        return mean_losses([self._solve(task, csi.device) for task in self.student.draw_all(csi, generator)])

    def _solve(self, task: Any, device: torch.device) -> dict[str, torch.Tensor]:
        """The losses of one task."""
        student, teacher = Trace(), Trace()
        own = self.student.solve(task, student)
        with torch.no_grad():
            self._teacher[0].to(device).solve(task, teacher)
        apart = torch.view_as_real(student.output - teacher.output).square().sum(-1).mean()
        loss = own["loss"] + self._weight * apart
        return own | {"loss": loss, "self_loss": own["loss"].detach(), "output_loss": apart.detach()}


def distil(student: PreTrainedModel, teacher: PreTrainedModel, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches and tasks are those of a student that learns alone."""
    own: Any = student.options
    # A key of families that can be registered.
    if getattr(own, "warm_start", False):
        session.take_champion(student)
    matching, history = train(
        OutputMatching(student, teacher, options.weight),
        session.dataset,
        config=own.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    return Trained(matching.student, history)
