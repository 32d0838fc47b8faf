"""Settings of LWM-Temporal, sparse spatio-temporal attention on angle-delay-time CSI."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wavefoundry.facts import Facts
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.networks.linear_prediction import Orders
from wavefoundry.section import (
    Count,
    Fraction,
    NonNegativeRange,
    Positive,
    Probability,
    Section,
    Share,
    require_ordered,
    require_whole_heads,
)
from wavefoundry.training.options import Training


def _require_other_frames(offsets: list[int]) -> list[int]:
    if 0 in offsets or len(set(offsets)) != len(offsets):
        raise ValueError(f"{offsets} must be distinct and not 0 (the own frame is always seen)")
    return offsets


# How windows in other frames widen: wavefoundry/networks/lwm_temporal/corridor.py.
Corridor = Literal["published", "wide"]
TemporalOffsets = Annotated[list[int], AfterValidator(_require_other_frames)]


class Architecture(Section):
    """Options of the model card that shape the network."""

    patch_size: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(description="(angle, delay) bins")
    embed_dim: Count
    depth: Count
    num_heads: Count
    mlp_ratio: Positive
    same_frame_window: Annotated[int, Field(ge=0)]
    temporal_offsets: TemporalOffsets = Field(
        description="frames, relative to the query's, that it sees besides its own"
    )
    temporal_spatial_window: Annotated[int, Field(ge=0)]
    temporal_drift_h: Annotated[int, Field(ge=0)]
    temporal_drift_w: Annotated[int, Field(ge=0)]
    corridor: Corridor = Field(
        description="published: at most temporal_spatial_window wide, and ends at the borders; wide (ours): wider "
        "by the drift than that window, and goes around the ring of angles"
    )
    routing_topk_enable: bool
    topk_per_head: bool
    routing_topk_fraction: Fraction
    routing_topk_min: Count
    routing_topk_max: Count
    class_token: bool = Field(description="one token more, which sees all and is seen by all")
    positions: Literal["rotary", "learned"]
    phase_mode: Literal["real_imaginary", "magnitude_phase"] = Field(description="how the network reads a complex bin")
    reference: Literal["none", "phase", "phase_and_scale", "rotation"] = Field(
        description="what makes bins alike that differ by a complex factor, or by a Doppler shift, too; none: as "
        "published, position by position"
    )
    max_seq_len: Count

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_whole_heads("num_heads", self.num_heads, "embed_dim", self.embed_dim)
        require_ordered("[routing_topk_min, routing_topk_max]", [self.routing_topk_min, self.routing_topk_max])
        head_dim = self.embed_dim // self.num_heads
        if self.positions == "rotary" and head_dim % 2:
            raise ValueError(f"embed_dim / num_heads is {head_dim}; rotary positions need an even number")
        return self


class Masking(Section):
    """Masked channel modelling, and the curriculum by which it grows harder."""

    strategies: Annotated[list[Literal["rect", "tube", "comb", "random"]], Field(min_length=1)] = Field(
        description="one is drawn per sample; all four are the card's `auto`"
    )
    min_mask_ratio: Share
    max_mask_ratio: Share
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(description="epochs over which the curriculum goes on")
    curriculum: Literal["ratio", "strategies"] = Field(
        description="what grows: the ratio from the least to the largest, or the number of strategies, in their order"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("[min_mask_ratio, max_mask_ratio]", [self.min_mask_ratio, self.max_mask_ratio])
        return self


class Augmentation(Section):
    """Changes of a sample in pretraining, each with its probability; noise is added to what the network sees only."""

    phase_probability: Probability = Field(description="of a global phase rotation")
    amplitude_probability: Probability
    amplitude_db: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(description="power gain [dB]")
    noise_probability: Probability
    snr_db: NonNegativeRange = Field(description="SNR of the noise [dB]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("amplitude_db", self.amplitude_db)
        require_ordered("snr_db", self.snr_db)
        return self


class Prediction(Section):
    """The second phase: fine-tuning of the pretrained network for prediction."""

    temporal_offsets: TemporalOffsets
    known_fraction: Share = Field(description="known share of the slots or subcarriers")
    horizon: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        description="slots to predict in fine-tuning, drawn per batch, at most those not known; null for all of these"
    )
    few_shot: Count | None = Field(description="samples to fine-tune with, drawn from all data sets; null for all")
    inference_only: bool = Field(description="no fine-tuning: the pretrained network fills in the future frames")
    linear_start: Orders | None = Field(
        description="linear prediction of hidden frames, which the network reads and corrects, and of a missing band; "
        "as published: null, it starts from the last known frame, or from an empty band"
    )
    snr_db: NonNegativeRange = Field(description="SNR of the input, drawn uniformly per sample [dB]")
    training: Training

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("snr_db", self.snr_db)
        if self.horizon is not None:
            require_ordered("horizon", self.horizon)
        if self.inference_only and self.few_shot is not None:
            raise ValueError(f"few_shot {self.few_shot} with inference_only: true; nothing is fine-tuned, so null")
        if self.inference_only and self.linear_start is not None:
            raise ValueError("linear_start with inference_only: true; nothing learns to correct it, so null")
        return self


class Options(FamilyOptions):
    """Settings of one LWM-Temporal: a pretraining, and a fine-tuning for prediction.

    Source: "LWM-Temporal: Sparse Spatio-Temporal Attention for Wireless Channel Representation Learning",
    arXiv:2603.10024, and its model card.
    """

    reads: ClassVar[Literal["csi", "angle_delay"]] = "angle_delay"

    architecture: Architecture
    masking: Masking
    augmentation: Augmentation | None = Field(description="null for none")
    training: Training
    prediction: Prediction

    def why_not(self, facts: Facts) -> str | None:
        return facts.why_nothing_to_predict or self._why_not_grid(facts)

    def why_not_predict(self, facts: Facts, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        if reason := facts.why_nothing_to_predict:
            return reason
        return self._why_not_grid(facts.with_sizes(known[0] + wanted[0], known[1] + wanted[1]))

    def why_not_embed(self, facts: Facts) -> str | None:
        return self._why_not_grid(facts.with_sizes(1, facts.subcarriers))

    def _why_not_grid(self, facts: Facts) -> str | None:
        shape, delay_bins = self.architecture, facts.delay_bins
        if not facts.is_linear_array:
            return "its array is no uniform linear one of one polarisation, on which alone neighbours are known"
        for axis, size, step in zip(("angle", "delay"), (facts.antennas, delay_bins), shape.patch_size, strict=True):
            if size % step:
                return f"architecture.patch_size {shape.patch_size}: {step} does not divide the {size} {axis} bins"
        rows, columns = facts.antennas // shape.patch_size[0], delay_bins // shape.patch_size[1]
        for window in ("same_frame_window", "temporal_spatial_window"):
            if getattr(shape, window) > max(rows, columns):
                return (
                    f"architecture.{window} {getattr(shape, window)} is larger than the grid of {rows} x {columns} "
                    "tokens"
                )
        tokens = facts.slots * rows * columns
        if tokens > shape.max_seq_len:
            return f"architecture.max_seq_len {shape.max_seq_len} is less than its {tokens} tokens"
        return None
