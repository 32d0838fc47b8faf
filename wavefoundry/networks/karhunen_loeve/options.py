"""Settings of feedback by a Karhunen-Loeve transform."""

from typing import ClassVar, Literal

from pydantic import Field

from wavefoundry.facts import Facts
from wavefoundry.feedback.rates import why_no_feedback
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Count


class Options(FamilyOptions):
    """Settings of one Karhunen-Loeve codec, for one size of channels.

    Source: J. J. Y. Huang and P. M. Schultheiss, "Block Quantization of Correlated Gaussian Random Variables", IEEE
    Transactions on Communications Systems 11(3), 1963.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    antennas: Count = Field(description="of the channels that are learnt from and fed back")
    subcarriers: Count = Field(description="likewise")
    components: Count = Field(description="the strongest so many are kept; weaker ones get no bits")

    def why_not(self, facts: Facts) -> str | None:
        if (facts.antennas, facts.subcarriers) != (self.antennas, self.subcarriers):
            return (
                f"its slots have {facts.antennas} antennas x {facts.subcarriers} subcarriers; the transform is one of "
                f"{self.antennas} x {self.subcarriers}"
            )
        return why_no_feedback(facts)

    def why_not_feed_back(self, facts: Facts) -> str | None:
        return self.why_not(facts)
