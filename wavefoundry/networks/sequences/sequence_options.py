"""Settings that networks of single antenna ports share."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import Count, Fraction, NonNegativeRange, Section, require_ordered
from wavefoundry.training.options import Training


class Link(Section):
    """What goes into a network and what comes out, of one antenna port."""

    known_slots: Count = Field(description="past slots that the network reads; of more it reads the last ones")
    horizon: Count = Field(description="slots that it predicts at once")
    subcarriers: Count = Field(description="width of a band: a wider one is cut into bands of this width")
    band: Literal["same", "adjacent"] = Field(
        description="where the future is wanted: same is TDD, adjacent is FDD, the band of equal width right above"
    )


class SequenceOptions(FamilyOptions):
    """Settings of a family that continues the CSI of one antenna port, or angle, at a time ("parallel antennas")."""

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    link: Link
    statistics: Literal["sequence", "batch"] = Field(
        description="whose mean and deviation normalise a sequence: its own, or, as published, those of the batch"
    )
    domain: Literal["antenna_frequency", "angle_delay"] = Field(
        description="what is continued one at a time: an antenna port over subcarriers, as published, or, ours, an "
        "angle over delays, by unitary transforms of the array and of the band"
    )
    reference: Literal["none", "phase"] = Field(
        description="phase turns each sequence so that the strongest delay tap of its last known slot is real, and in "
        "the angle-delay domain every delay tap for itself; ours"
    )
    ports: Count = Field(
        description="antenna ports, or angles, drawn from each sample in a training step; all are predicted"
    )
    snr_db: NonNegativeRange = Field(description="SNR of the known slots, drawn uniformly per sample [dB]")
    few_shot: Fraction | None = Field(
        description="share of the samples, with all their ports, to learn from; null: all"
    )
    training: Training

    @model_validator(mode="after")
    def _check_snr(self) -> Self:
        require_ordered("snr_db", self.snr_db)
        return self

    def why_not(self, facts: Facts) -> str | None:
        slots = self.link.known_slots + self.link.horizon
        if facts.slots < slots:
            return f"link: {slots} slots are known or predicted, and it has {facts.slots}"
        if facts.antennas < self.ports:
            return f"ports {self.ports} is more than its {facts.antennas} antenna ports"
        bands = 1 if self.link.band == "same" else 2
        if facts.subcarriers < bands * self.link.subcarriers:
            return (
                f"link.subcarriers {self.link.subcarriers}, {bands} times, is more than its {facts.subcarriers} "
                "subcarriers"
            )
        return None

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        return self.why_not_continue(known, wanted)

    def why_not_continue(self, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        """Why a network cannot answer a question; None if it can.

        Args:
            known: known slots and subcarriers.
            wanted: slots and subcarriers beyond them that are asked for; 0: the known ones.
        """
        link = self.link
        if known[0] < link.known_slots:
            return f"link.known_slots {link.known_slots} is more than the {known[0]} known slots"
        if not wanted[0]:
            return "it predicts slots after the known ones, and none is asked for"
        if link.band == "same":
            if wanted[1]:
                return "link.band is same, and subcarriers above the known ones are asked for"
            if known[1] % link.subcarriers:
                return f"link.subcarriers {link.subcarriers} does not divide the {known[1]} known subcarriers"
            return None
        if known[1] != link.subcarriers or wanted[1] != link.subcarriers:
            return (
                f"link.band is adjacent and link.subcarriers {link.subcarriers}; {known[1]} subcarriers are known and "
                f"{wanted[1]} above them are asked for"
            )
        # What comes after the horizon could only be told from the band's own past, which is not known.
        if wanted[0] > link.horizon:
            return f"link.horizon {link.horizon} is less than the {wanted[0]} slots that are asked for"
        return None
