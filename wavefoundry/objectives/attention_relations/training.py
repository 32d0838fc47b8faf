"""The training of a student by attention relations."""

import torch

from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace, training_data
from wavefoundry.objectives.attention_relations.options import Options
from wavefoundry.objectives.attention_relations.relations import relation_loss
from wavefoundry.objectives.beside_teacher import BesideTeacher, train_beside
from wavefoundry.training.session import Trained, TrainingSession


class Distillation(BesideTeacher):
    """The continuation of noisy slots, and the distance of its attention relations from the teacher's."""

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step; teacher and student read the same noisy slots.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of what is drawn, on the CPU.

        Returns:
            "loss", "nmse" of the student and "relation_loss", unweighted.
        """
        excerpt = self.student.draw(csi, generator)
        student, teacher = Trace(), Trace()
        own = self.student.solve(excerpt, student)
        with torch.no_grad():
            self.teacher_on(csi.device).continued(excerpt.known, teacher)
        relations = relation_loss(
            student.queries_keys_values, teacher.queries_keys_values, self.settings.relation_heads
        )
        loss = own["loss"] + self.settings.weight * relations
        return own | {"loss": loss, "relation_loss": relations.detach()}


def distil(student: SequenceNetwork, teacher: SequenceNetwork, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches, sequences and noise are those of a student that learns alone."""
    return train_beside(Distillation(student, teacher, options), training_data(student.options, session), session)
