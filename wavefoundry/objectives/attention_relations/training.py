"""The training of a student by attention relations."""

import torch
from torch import nn

from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace, training_data
from wavefoundry.objectives.attention_relations.options import Options
from wavefoundry.objectives.attention_relations.relations import relation_loss
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train


class Distillation(nn.Module):
    """A student in training with its teacher; only `student` is worth keeping afterwards.

    The teacher is frozen and no part of the module's parameters, state or checkpoints.
    """

    def __init__(self, student: SequenceNetwork, teacher: SequenceNetwork, settings: Options):
        super().__init__()
        self.student = student
        # In a tuple, hidden from nn.Module.
        self._teacher = (teacher.eval().requires_grad_(False),)
        # Not named config: Trainer would take it for a transformers config and write into it.
        self.settings = settings

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step; teacher and student read the same noisy slots.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of what is drawn, on the CPU.

        Returns:
            "loss", "nmse" of the student and "relation_loss", unweighted.
        """
        known, wanted = self.student.draw(csi, generator)
        student, teacher = Trace(), Trace()
        own = self.student.solve(known, wanted, student)
        with torch.no_grad():
            self._teacher[0].to(csi.device).continued(known, teacher)
        relations = relation_loss(
            student.queries_keys_values, teacher.queries_keys_values, self.settings.relation_heads
        )
        loss = own["loss"] + self.settings.weight * relations
        return own | {"loss": loss, "relation_loss": relations.detach()}


def distil(student: SequenceNetwork, teacher: SequenceNetwork, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches, ports and noise are those of a student that learns alone."""
    distillation, history = train(
        Distillation(student, teacher, options),
        training_data(student.options, session),
        config=student.options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    return Trained(distillation.student, history)
