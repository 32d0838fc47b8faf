"""Settings that networks share which continue one sequence of a channel at a time."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.linear_prediction import Mixing
from wavefoundry.section import Count, Fraction, NonNegativeRange, Section, require_ordered
from wavefoundry.training.options import Training


class Link(Section):
    """What goes into a network and what comes out."""

    known_slots: Count = Field(description="past slots that the network reads; of more it reads the last ones")
    horizon: Count = Field(description="slots that it predicts at once")
    subcarriers: Count = Field(description="width of a band: a wider one is cut into bands of this width")
    band: Literal["same", "adjacent"] = Field(
        description="where the future is wanted: same is TDD, adjacent is FDD, the band of equal width right above"
    )


class AntennaPorts(Section):
    """As published, "parallel antennas": a sequence is an antenna port, its slots hold subcarriers."""

    kind: Literal["antenna_ports"]
    drawn: Count = Field(description="antenna ports drawn from each sample in a training step; all are predicted")


class AngleDelayTaps(Section):
    """Ours: a sequence is some neighbouring delay taps of an angle, by unitary transforms of the array and the band."""

    kind: Literal["angle_delay_taps"]
    taps: Count = Field(description="neighbouring delay taps of one sequence; divides link.subcarriers")
    drawn: Count = Field(
        description="sequences drawn from each sample in a training step, the more likely the more power they have"
    )
    strongest: Count | None = Field(
        description="so many sequences of a band, those with the most power in the known slots, are predicted; the "
        "others are taken as zero, or as linear_prediction has them; null: all are predicted"
    )


class SequenceOptions(FamilyOptions):
    """Settings of a family that continues one sequence of a channel at a time."""

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    link: Link
    statistics: Literal["sequence", "batch"] = Field(
        description="whose mean and deviation normalise a sequence: its own, or, as published, those of the batch"
    )
    sequences: Annotated[AntennaPorts | AngleDelayTaps, Field(discriminator="kind")] = Field(
        description="what is continued one at a time"
    )
    linear_prediction: Mixing | None = Field(
        description="with which the answer of the network is mixed, and which alone answers for sequences that are not "
        "predicted; null: there is none, as published"
    )
    reference: Literal["none", "phase"] = Field(
        description="phase turns each antenna port so that the strongest delay tap of its last known slot is real, and "
        "each delay tap of an angle so that it is real there; ours"
    )
    snr_db: NonNegativeRange = Field(description="SNR of the known slots, drawn uniformly per sample [dB]")
    few_shot: Fraction | None = Field(
        description="share of the samples, with all their sequences, to learn from; null: all"
    )
    training: Training

    @model_validator(mode="after")
    def _check_snr(self) -> Self:
        require_ordered("snr_db", self.snr_db)
        return self

    @model_validator(mode="after")
    def _check_taps(self) -> Self:
        of = self.sequences
        if isinstance(of, AngleDelayTaps) and self.link.subcarriers % of.taps:
            raise ValueError(f"sequences.taps: {of.taps} does not divide link.subcarriers {self.link.subcarriers}")
        return self

    @property
    def width(self) -> int:
        """Complex values of one slot of a sequence."""
        return self.sequences.taps if isinstance(self.sequences, AngleDelayTaps) else self.link.subcarriers

    def why_not(self, facts: Facts) -> str | None:
        slots = self.link.known_slots + self.link.horizon
        if facts.slots < slots:
            return f"link: {slots} slots are known or predicted, and it has {facts.slots}"
        available = facts.antennas * (self.link.subcarriers // self.width)
        if available < self.sequences.drawn:
            what = "antenna ports" if isinstance(self.sequences, AntennaPorts) else "sequences of a band"
            return f"sequences.drawn {self.sequences.drawn} is more than its {available} {what}"
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
