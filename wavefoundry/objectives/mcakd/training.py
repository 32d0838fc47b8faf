"""The training of a student by MCAKD."""

from transformers import PreTrainedModel

from wavefoundry.objectives.beside_teacher import train_beside
from wavefoundry.objectives.mcakd.autonomous_passive import AutonomousPassiveSwitch
from wavefoundry.objectives.mcakd.distillation import Distillation
from wavefoundry.objectives.mcakd.options import Options
from wavefoundry.training.session import Trained, TrainingSession


def distil(student: PreTrainedModel, teacher: PreTrainedModel, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches and puzzles are those of a student that learns alone."""
    pair = Distillation(student, teacher, options)
    return train_beside(pair, session.dataset, session, [AutonomousPassiveSwitch(options.autonomous_passive)])
