"""Settings of WiFo-CF, a codec of channel feedback with experts, and of its students."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.feedback.options import UplinkOptions
from wavefoundry.feedback.rates import Rate
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.section import (
    Count,
    NonNegative,
    NonNegativeRange,
    Section,
    require_ordered,
    require_whole_heads,
)
from wavefoundry.training.options import Training

STRIDE = 4  # of the tokens, in antennas and in subcarriers: a token stands for 16 channel entries
HALVINGS = 3  # of the image that the tokens make: the codeword has as many values as there are tokens


class Experts(Section):
    """Feed-forward layers of which every token passes a few."""

    routed: Count
    chosen: Count = Field(description="routed experts that a token passes")
    shared: Annotated[int, Field(ge=0, le=64)] = Field(description="experts of the decoder that every token passes")
    hidden_size: Count = Field(description="inner width of an expert")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.chosen > self.routed:
            raise ValueError(f"chosen {self.chosen} is more than routed {self.routed}")
        return self


class Architecture(Section):
    hidden_size: Count
    encoder_depth: Count
    decoder_depth: Count
    heads: Count
    experts: Experts
    channels: Count = Field(description="of the convolutions around the codeword")
    shortcut: bool = Field(description="a linear map beside these convolutions, of which the released code has none")
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_whole_heads("heads", self.heads, "hidden_size", self.hidden_size)
        if self.hidden_size % 8:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of 8, which position and rate need")
        return self


class Options(FamilyOptions):
    """Settings of one WiFo-CF.

    Source: Liu et al., "WiFo-CF: Wireless Foundation Model for CSI Feedback", arXiv:2508.04068, and its released code.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"
    # The tokens are the same whatever the architecture.
    common_to_students: ClassVar[tuple[str, ...]] = ()

    architecture: Architecture
    rates: Annotated[list[Rate], Field(min_length=2, max_length=2)] = Field(
        description="bits of a value of the codeword, drawn for each sample in training, both ends included"
    )
    companding: NonNegative = Field(description="mu of the quantiser; 0: uniform steps")
    snr_db: NonNegativeRange = Field(description="SNR of the channel that is fed back, drawn for each sample [dB]")
    uplink: UplinkOptions | None = Field(description="whose bit errors training sees; null: none")
    quantisation_weight: NonNegative = Field(description="of the quantiser's error in the loss")
    balance: Literal["switch", "released"] = Field(description="how uneven use of experts is measured")
    balance_weight: NonNegative = Field(description="of that measure in the loss")
    training: Training

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("snr_db", self.snr_db)
        require_ordered("rates", self.rates)
        return self

    def why_not(self, facts: Facts) -> str | None:
        return why_not_cut(facts.antennas, facts.subcarriers)

    def why_not_feed_back(self, facts: Facts) -> str | None:
        return self.why_not(facts)


def why_not_cut(antennas: int, subcarriers: int) -> str | None:
    """Why a channel cannot be cut into tokens, or these be halved to the codeword; None if they can."""
    for axis, size in (("antennas", antennas), ("subcarriers", subcarriers)):
        if size < STRIDE:
            return f"its {size} {axis} are less than the codec's stride {STRIDE}"
        if size % STRIDE:
            return f"the codec's stride {STRIDE} does not divide its {size} {axis}"
    tokens = antennas * subcarriers // STRIDE**2
    if tokens % 2**HALVINGS:
        return f"{tokens} tokens ({antennas} x {subcarriers} / 16) are no multiple of {2**HALVINGS}"
    return None
