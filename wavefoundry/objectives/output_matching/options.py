"""Settings of output matching."""

from typing import ClassVar

from pydantic import Field

from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.traced_options import TracedOptions
from wavefoundry.objectives.objective import ObjectiveOptions
from wavefoundry.section import Positive


class Options(ObjectiveOptions):
    """How much the teacher's answers count beside the true ones, in every step.

    Source: the baseline "LMKD" of "Tiny-WiFo: A Lightweight Wireless Foundation Model for Channel Prediction via
    Multi-Component Adaptive Knowledge Distillation", arXiv:2511.04015, which does not give its weight.
    """

    within_family: ClassVar[bool] = True

    weight: Positive = Field(description="of the mean square error between the answers of student and teacher")

    def why_not(self, family: str, student: FamilyOptions, teacher_family: str, teacher: FamilyOptions) -> str | None:
        if reason := self.why_not_families(family, teacher_family):
            return reason
        if not isinstance(student, TracedOptions) or not isinstance(teacher, TracedOptions):
            return (
                "it compares the answers of two networks of one family that can solve one task; "
                f"the teacher is a {teacher_family}, the student a {family}"
            )
        for name in student.common_to_students:
            own, shown = getattr(student.architecture, name), getattr(teacher.architecture, name)
            if own != shown:
                return f"architecture.{name} {own} differs from the teacher's {shown}"
        return None
