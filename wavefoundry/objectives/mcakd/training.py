"""The training of a student by MCAKD."""

from wavefoundry.networks.wifo.model import WiFo
from wavefoundry.objectives.mcakd.autonomous_passive import AutonomousPassiveSwitch
from wavefoundry.objectives.mcakd.distillation import Distillation
from wavefoundry.objectives.mcakd.options import Options
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train


def distil(student: WiFo, teacher: WiFo, options: Options, session: TrainingSession) -> Trained:
    """Train a student beside its teacher; batches and puzzles are those of a student that learns alone."""
    if student.options.warm_start:
        session.take_champion(student)
    distillation = Distillation(student, teacher, options)
    distillation, history = train(
        distillation,
        session.dataset,
        config=student.options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
        callbacks=[AutonomousPassiveSwitch(options.autonomous_passive)],
    )
    return Trained(distillation.student, history)
