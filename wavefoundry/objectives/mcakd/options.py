"""Settings of MCAKD, multi-component adaptive knowledge distillation."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.traced_options import TracedOptions
from wavefoundry.objectives.objective import ObjectiveOptions
from wavefoundry.section import Count, Positive, Probability, Section, why_no_whole_heads


class AutonomousPassive(Section):
    """AL-PL: distil only where the student's own progress stalls (Tiny-WiFo, section III-C)."""

    patience: Count = Field(description="autonomous epochs over which the gain is measured")
    min_gain: Probability = Field(description="passive when the relative gain of the smoothed loss falls below")
    smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(description="weight of the past in the smoothed loss")
    passive_epochs: Count

    @property
    def first_passive(self) -> int:
        """The first epoch, from 1, in which the teacher may be asked: two losses give the first gain."""
        return self.patience + 2


class Options(ObjectiveOptions):
    """Which terms are used, and when; a term that is false is left out (ablation).

    Source: "Tiny-WiFo: A Lightweight Wireless Foundation Model for Channel Prediction via Multi-Component Adaptive
    Knowledge Distillation", arXiv:2511.04015.
    """

    within_family: ClassVar[bool] = True

    weight: Positive = Field(description="lambda, weight of the distillation loss")
    attention: bool
    embedding: bool
    hidden: bool
    selection: Literal["cross_attention", "random", "first"] = Field(description="how CA-KS picks teacher dimensions")
    selection_heads: Count
    importance: Literal["batch", "sample"] = Field(description="dimensions are picked for a batch or for each sample")
    memory: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="weight of the past steps in the importance; 0: that of this step alone"
    )
    hidden_state: Literal["before_residual", "after_residual"] = Field(
        description="what the term of hidden states compares: what attention adds to the tokens, or the sum"
    )
    distance: Literal["plain", "relative"] = Field(
        description="of embedding and hidden states: mean square error, or that over the power of what was picked"
    )
    autonomous_passive: AutonomousPassive | None = Field(description="null distils in every epoch")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.memory and self.importance == "sample":
            raise ValueError(f"memory is {self.memory:g}, with importance: sample allowed: 0; samples have no past")
        if self.selection != "cross_attention" and (self.memory or self.importance == "sample"):
            raise ValueError(
                f"selection: {self.selection} knows no importance, allowed with it: importance: batch and memory: 0"
            )
        return self

    def why_not(self, family: str, student: FamilyOptions, teacher_family: str, teacher: FamilyOptions) -> str | None:
        if reason := self.why_not_families(family, teacher_family):
            return reason
        if not isinstance(student, TracedOptions) or not isinstance(teacher, TracedOptions):
            return (
                "it compares inner values of two networks of one family that shows them; "
                f"the teacher is a {teacher_family}, the student a {family}"
            )
        own, shown = student.architecture, teacher.architecture
        if own.hidden_size > shown.hidden_size:
            return f"architecture.hidden_size {own.hidden_size} is more than the teacher's {shown.hidden_size}"
        for name in ("encoder_depth", "decoder_depth"):
            if self.attention and getattr(shown, name) % getattr(own, name):
                return (
                    f"architecture.{name} {getattr(own, name)} does not divide the teacher's {getattr(shown, name)}; "
                    "its attention maps are compared layer by layer (attention: false leaves them out)"
                )
        if self.attention and own.heads != shown.heads:
            return (
                f"architecture.heads {own.heads} differs from the teacher's {shown.heads}; its attention maps are "
                "compared head by head (attention: false leaves them out)"
            )
        for name in student.common_to_students:
            if getattr(own, name) != getattr(shown, name):
                return f"architecture.{name} {getattr(own, name)} differs from the teacher's {getattr(shown, name)}"
        if reason := why_no_whole_heads(
            "selection_heads", self.selection_heads, "architecture.hidden_size", own.hidden_size
        ):
            return reason
        epochs = student.training.epochs
        if self.autonomous_passive is not None and epochs < self.autonomous_passive.first_passive:
            return (
                f"autonomous_passive asks the teacher from epoch {self.autonomous_passive.first_passive} on at the "
                f"earliest, training.epochs is {epochs}: it would never be asked (null asks it in every epoch)"
            )
        return None
