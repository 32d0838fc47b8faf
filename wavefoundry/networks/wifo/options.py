"""Settings of WiFo, a masked autoencoder over the space, time and frequency of CSI, and of its students."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.linear_prediction import Mixing
from wavefoundry.section import Count, NonNegativeRange, Positive, Section, Share, require_ordered, require_whole_heads
from wavefoundry.training.options import Training


class Architecture(Section):
    patch_size: Annotated[list[Count], Field(min_length=3, max_length=3)] = Field(
        description="tokens are boxes of (time, antenna, subcarrier)"
    )
    hidden_size: Count
    encoder_depth: Count
    decoder_depth: Count
    heads: Count
    mlp_ratio: Positive
    position_rule: Literal["own", "published"] = Field(
        description="the encoder gives each visible token its own position; published: as the released code does"
    )
    linear_prediction: Mixing | None = Field(
        description="of the hidden slots or subcarriers, with which the network's answer is mixed; as published: null, "
        "the network answers alone"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_whole_heads("heads", self.heads, "hidden_size", self.hidden_size)
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size {self.hidden_size} is odd; the sine-cosine positions need an even one")
        return self


class Masking(Section):
    """The three strategies and the share of tokens (random) or of the last patches (time, frequency) each one hides."""

    random: Share
    time: Share
    frequency: Share


class Options(FamilyOptions):
    """Settings of one WiFo.

    Source: Liu et al., "WiFo: Wireless Foundation Model for Channel Prediction", arXiv:2412.08908.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "csi"
    common_to_students: ClassVar[tuple[str, ...]] = ("patch_size", "linear_prediction")

    architecture: Architecture
    masking: Masking
    snr_db: NonNegativeRange = Field(description="SNR of the visible input, drawn uniformly per sample [dB]")
    training: Training
    warm_start: bool = Field(description="begin with the registry's champion, not anew; results then depend on it")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("snr_db", self.snr_db)
        return self

    def why_not(self, facts: Facts) -> str | None:
        if reason := facts.why_nothing_to_predict:
            return reason
        sizes, patch = (facts.slots, facts.antennas, facts.subcarriers), self.architecture.patch_size
        if all(size <= step for size, step in zip(sizes, patch, strict=True)):
            whole = " x ".join(map(str, sizes))
            return f"architecture.patch_size {patch}: a sample of {whole} is a single patch, nothing can be masked"
        return None

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        return facts.why_nothing_to_predict

    def why_not_embed(self, facts: Facts) -> str | None:
        return None
