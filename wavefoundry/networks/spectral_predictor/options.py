"""Settings of the spectral predictor, which estimates the spectrum of every bin and predicts linearly under it."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import (
    Count,
    Fraction,
    NonNegative,
    NonNegativeRange,
    Probability,
    Section,
    Share,
    require_ordered,
)
from wavefoundry.training.options import Training

# Known entries along an axis from which the next ones can be predicted.
FEWEST_KNOWN = 2


class Orders(Section):
    """Orders of the autoregressions along each axis; the first one gives the spectrum that the network begins with."""

    time: Annotated[list[Count], Field(min_length=2, max_length=2)]
    frequency: Annotated[list[Count], Field(min_length=2, max_length=2)]


class Architecture(Section):
    frequencies: Annotated[int, Field(ge=4, le=1024)] = Field(description="lines of an estimated spectrum, evenly set")
    hidden_size: Count
    depth: Count = Field(description="hidden layers")
    orders: Orders
    share: Fraction = Field(description="strongest bins that the network is asked about; autoregression has the others")
    damping: Fraction = Field(description="of the poles of the autoregression in the spectrum to begin with")
    noise_floor: Annotated[float, Field(ge=1e-5, le=1)] = Field(
        description="least power of the noise that an estimate may have, relative to the bin"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.frequencies % 2:
            raise ValueError(f"frequencies {self.frequencies} is odd; every second one is read from the periodograms")
        return self


class Draws(Section):
    """What a training step draws."""

    bins: Count = Field(description="strongest bins of each sample that are learnt from")
    time: Probability = Field(description="of a step that learns to continue time and not frequency")
    usual: Probability = Field(description="of the known share; otherwise any number of known entries is drawn")
    crop: Probability = Field(description="of the other axis cut to its first half; the bins are then wider")
    every_second: Probability = Field(description="of a step that sees every second slot only, as if slots were longer")
    spectrum_weight: NonNegative = Field(description="weight of the loss of the spectrum's prediction alone")


class Options(FamilyOptions):
    """Settings of one spectral predictor."""

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"

    architecture: Architecture
    known_share: Share = Field(
        description="share of the slots or subcarriers that is known in most steps, and where the expected error is "
        "calibrated"
    )
    draws: Draws
    snr_db: NonNegativeRange = Field(description="SNR of the known part, drawn uniformly per sample [dB]")
    training: Training

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("snr_db", self.snr_db)
        return self

    def why_not(self, facts: Facts) -> str | None:
        if reason := facts.why_nothing_to_predict:
            return reason
        if max(facts.slots, facts.subcarriers) <= FEWEST_KNOWN:
            return (
                f"it has {facts.slots} slots and {facts.subcarriers} subcarriers; {FEWEST_KNOWN} known ones and one "
                "to predict are needed of either"
            )
        return None

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        if reason := self.why_not(facts):
            return reason
        for axis, before, asked in zip(("slots", "subcarriers"), known, wanted, strict=True):
            if asked and before < FEWEST_KNOWN:
                return f"{before} of its {axis} is known; {FEWEST_KNOWN} are needed to predict the next ones"
        return None
