"""Settings of feedback by a Karhunen-Loeve transform."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.feedback.rates import why_no_feedback
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Count


class Options(FamilyOptions):
    """Settings of one Karhunen-Loeve codec.

    Source: J. J. Y. Huang and P. M. Schultheiss, "Block Quantization of Correlated Gaussian Random Variables", IEEE
    Transactions on Communications Systems 11(3), 1963.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    sizes: Annotated[list[Annotated[list[Count], Field(min_length=2, max_length=2)]], Field(min_length=1)] = Field(
        description="(antennas, subcarriers) of the channels that are learnt from and fed back: a transform each"
    )
    components: Count = Field(description="the strongest so many are kept; weaker ones get no bits")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({tuple(size) for size in self.sizes}) < len(self.sizes):
            raise ValueError(f"sizes {self.sizes} must be distinct")
        return self

    def why_not(self, facts: Facts) -> str | None:
        return self.why_no_transform(facts.antennas, facts.subcarriers) or why_no_feedback(facts)

    def why_no_transform(self, antennas: int, subcarriers: int) -> str | None:
        """Why there is no transform of a size of channels; None if there is one."""
        if [antennas, subcarriers] in self.sizes:
            return None
        known = ", ".join(f"{rows} x {columns}" for rows, columns in self.sizes)
        return f"{antennas} antennas x {subcarriers} subcarriers; there are transforms of {known}"

    def why_not_feed_back(self, facts: Facts) -> str | None:
        return self.why_not(facts)
