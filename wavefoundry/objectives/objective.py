"""What an objective of distillation says of itself without torch, and how objectives are found by name.

An objective is a folder `wavefoundry/objectives/NAME` with two modules:

- `options.py` defines `Options`, an `ObjectiveOptions`: the only declaration of its settings;
- `training.py` defines `distil(student, teacher, options, session)`, which trains `student`, a fresh network that
  `build` of its family has made, beside `teacher`, a trained one, and returns a
  `wavefoundry.training.session.Trained`. What objectives have in common in this is in
  `wavefoundry.objectives.beside_teacher`.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import ClassVar

import wavefoundry.objectives
from wavefoundry.discovery import options_of_folders
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Section


class ObjectiveOptions(Section):
    """Settings of one objective.

    within_family: whether a student learns from a teacher of its own family alone.
    """

    within_family: ClassVar[bool] = False

    def why_not_families(self, family: str, teacher_family: str) -> str | None:
        """Why no student of a family can learn from a teacher of another one, whatever the options; None if it may."""
        if not self.within_family or family == teacher_family:
            return None
        return (
            f"it compares two networks of one family; the teacher is a {teacher_family}, the student a {family}, "
            f"allowed: a teacher of the family {family}"
        )

    def why_not(self, family: str, student: FamilyOptions, teacher_family: str, teacher: FamilyOptions) -> str | None:
        """Why a student cannot learn from a teacher by this objective; None if it can."""
        raise NotImplementedError


@cache
def objectives() -> dict[str, type[ObjectiveOptions]]:
    """The options of every objective by its name."""
    return options_of_folders(wavefoundry.objectives, "training")


def training_module(objective: str) -> ModuleType:
    """Module `training` of an objective; imports torch."""
    return import_module(f"wavefoundry.objectives.{objective}.training")
