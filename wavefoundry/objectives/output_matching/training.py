"""The training of a student that gives the answers of its teacher."""

from typing import Any

import torch
from transformers import PreTrainedModel

from wavefoundry.networks.trace import Trace, mean_losses
from wavefoundry.objectives.beside_teacher import BesideTeacher, train_beside
from wavefoundry.objectives.output_matching.options import Options
from wavefoundry.training.session import Trained, TrainingSession


class OutputMatching(BesideTeacher):
    """The training task, and the distance to the teacher's answers; `Options.why_not` says between which networks."""

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
            self.teacher_on(device).solve(task, teacher)
        apart = torch.view_as_real(student.output - teacher.output).square().sum(-1).mean()
        loss = own["loss"] + self.settings.weight * apart
        return own | {"loss": loss, "self_loss": own["loss"].detach(), "output_loss": apart.detach()}


def distil(student: PreTrainedModel, teacher: PreTrainedModel, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches and tasks are those of a student that learns alone."""
    return train_beside(OutputMatching(student, teacher, options), session.dataset, session)
