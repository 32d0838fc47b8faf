"""A student in training with its teacher: what all objectives that run a teacher have in common."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerCallback

from wavefoundry.objectives.objective import ObjectiveOptions
from wavefoundry.training.session import Trained, TrainingData, TrainingSession
from wavefoundry.training.trainer import train


class BesideTeacher(nn.Module):
    """A student and its teacher; only `student` is worth keeping afterwards.

    The teacher is frozen and no part of the module's parameters, state or checkpoints. An objective derives from this
    class and defines `forward(csi, generator)`, the loss of one training step.
    """

    student: Any  # of the networks that the objective can compare

    def __init__(self, student: PreTrainedModel, teacher: PreTrainedModel, settings: ObjectiveOptions):
        super().__init__()
        self.student = student
        # In a tuple, hidden from nn.Module.
        self._teacher = (teacher.eval().requires_grad_(False),)
        # Not named config: Trainer would take it for a transformers config and write into it.
        self.settings: Any = settings

    def teacher_on(self, device: torch.device) -> Any:
        """The teacher, moved to where the student is trained."""
        return self._teacher[0].to(device)


def train_beside(
    pair: BesideTeacher, dataset: TrainingData, session: TrainingSession, callbacks: Sequence[TrainerCallback] = ()
) -> Trained:
    """Train the student of a pair, by the settings of a student that learns alone.

    Args:
        pair: the student, its teacher and the objective.
        dataset: what is learnt from.
        session: of this seed.
        callbacks: as `wavefoundry.training.trainer.train` takes them.
    """
    own = pair.student.options
    # A key of families that can be registered.
    if getattr(own, "warm_start", False):
        session.take_champion(pair.student)
    trained, history = train(
        pair,
        dataset,
        config=own.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
        callbacks=callbacks,
    )
    return Trained(trained.student, history)
