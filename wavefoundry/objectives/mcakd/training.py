"""The training of a student by MCAKD."""

from typing import Any

from transformers import PreTrainedModel

from wavefoundry.objectives.mcakd.autonomous_passive import AutonomousPassiveSwitch
from wavefoundry.objectives.mcakd.distillation import Distillation
from wavefoundry.objectives.mcakd.options import Options
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train


def distil(student: PreTrainedModel, teacher: PreTrainedModel, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches and puzzles are those of a student that learns alone."""
    own: Any = student.options
    # A key of families that can be registered.
    if getattr(own, "warm_start", False):
        session.take_champion(student)
    distillation = Distillation(student, teacher, options)
    distillation, history = train(
        distillation,
        session.dataset,
        config=own.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
        callbacks=[AutonomousPassiveSwitch(options.autonomous_passive)],
    )
    return Trained(distillation.student, history)
