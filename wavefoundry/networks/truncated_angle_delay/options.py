"""Settings of feedback of the strongest angle-delay coefficients: there are none."""

from typing import ClassVar, Literal

from wavefoundry.facts import Facts
from wavefoundry.feedback.rates import why_no_feedback
from wavefoundry.networks.family import FamilyOptions


class Options(FamilyOptions):
    """A codec without settings or weights.

    It is a family, and no kind of thing of its own, because then it is found, evaluated and compared like every other
    codec; its training takes a second and learns nothing.

    Source of the idea: the type-II codebook of 3GPP TS 38.214, 5.2.2.2.5 to 5.2.2.2.7.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    def why_not(self, facts: Facts) -> str | None:
        return why_no_feedback(facts)

    def why_not_feed_back(self, facts: Facts) -> str | None:
        return self.why_not(facts)
