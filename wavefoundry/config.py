"""Typed parameters of models, trainings, distillation and evaluation.

Units stand in the field descriptions; a value outside the stated range is refused with the name of its key.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wavefoundry.section import (
    Count,
    Fraction,
    NonNegative,
    NonNegativeRange,
    Positive,
    Probability,
    Section,
    Seeds,
    require_distinct,
    require_ordered,
)


class Training(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of the steps with a rising rate")
    max_grad_norm: Positive
    epochs_per_checkpoint: Count = Field(description="a killed training loses at most this many epochs")


class SpaceTimeFrequencyMasking(Section):
    """WiFo's three strategies and the share of tokens (random) or patches (time, frequency) each one hides."""

    random: Annotated[float, Field(gt=0, lt=1)]
    time: Annotated[float, Field(gt=0, lt=1)]
    frequency: Annotated[float, Field(gt=0, lt=1)]


def _require_whole_heads(heads: int, hidden_size: int) -> None:
    if hidden_size % heads:
        raise ValueError(f"heads {heads} does not divide hidden_size {hidden_size}")


class WiFoArchitecture(Section):
    patch_size: Annotated[list[Count], Field(min_length=3, max_length=3)] = Field(
        description="tokens are boxes of (time, antenna, subcarrier)"
    )
    hidden_size: Count
    encoder_depth: Count
    decoder_depth: Count
    heads: Count
    mlp_ratio: Positive

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_whole_heads(self.heads, self.hidden_size)
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size {self.hidden_size} is odd; the sine-cosine positions need an even one")
        return self


class TeachWiFo(Section):
    architecture: WiFoArchitecture
    masking: SpaceTimeFrequencyMasking
    snr_db: NonNegativeRange = Field(description="SNR of the visible input, drawn uniformly per sample [dB]")
    training: Training
    warm_start: bool = Field(description="begin with the registry's champion, not anew; results then depend on it")
    held_out: list[str] = Field(description="data sets that it never learns from: zero-shot")
    seeds: Seeds


class AutonomousPassive(Section):
    """AL-PL: distil only where the student's own progress stalls (spec: tiny-wifo)."""

    patience: Count = Field(description="autonomous epochs over which the gain is measured")
    min_gain: Probability = Field(description="passive when the relative gain of the smoothed loss falls below")
    smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(description="weight of the past in the smoothed loss")
    passive_epochs: Count


class MCAKD(Section):
    """Multi-component adaptive knowledge distillation; a term that is false is left out (ablation)."""

    weight: Positive = Field(description="lambda, weight of the distillation loss")
    attention: bool
    embedding: bool
    hidden: bool
    selection: Literal["cross_attention", "random", "first"] = Field(description="how CA-KS picks teacher dimensions")
    selection_heads: Count
    autonomous_passive: AutonomousPassive | None = Field(description="null distils in every epoch")


class DistilWiFo(Section):
    teacher: str
    hidden_size: Count
    mcakd: MCAKD | None = Field(description="null trains the same student without a teacher")
    training: Training
    warm_start: bool = Field(description="begin with the registry's champion, not anew; results then depend on it")
    seeds: Seeds


class LWMTemporalArchitecture(Section):
    """Options of the LWM-Temporal card that shape the network."""

    patch_size: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(description="(angle, delay) bins")
    embed_dim: Count
    depth: Count
    num_heads: Count
    mlp_ratio: Positive
    same_frame_window: Annotated[int, Field(ge=0)]
    temporal_offsets: list[int] = Field(description="frames, relative to the query's, that it sees besides its own")
    temporal_spatial_window: Annotated[int, Field(ge=0)]
    temporal_drift_h: Annotated[int, Field(ge=0)]
    temporal_drift_w: Annotated[int, Field(ge=0)]
    routing_topk_enable: bool
    topk_per_head: bool
    routing_topk_fraction: Fraction
    routing_topk_max: Count
    class_token: bool = Field(description="one token more, which sees all and is seen by all")
    positions: Literal["rotary", "learned"]
    phase_mode: Literal["real_imaginary", "magnitude_phase"] = Field(description="how the network reads a complex bin")
    max_seq_len: Count

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        head_dim = self.embed_dim // self.num_heads
        if self.positions == "rotary" and head_dim % 2:
            raise ValueError(f"embed_dim / num_heads is {head_dim}; rotary positions need an even number")
        check_temporal_offsets(self.temporal_offsets)
        return self


def check_temporal_offsets(offsets: list[int]) -> None:
    if 0 in offsets or len(set(offsets)) != len(offsets):
        raise ValueError(f"temporal_offsets {offsets} must be distinct and not 0 (the own frame is always seen)")


class MaskedChannelModelling(Section):
    strategies: Annotated[list[Literal["rect", "tube", "comb", "random"]], Field(min_length=1)] = Field(
        description="one is drawn per sample; all four are the card's `auto`"
    )
    min_mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    max_mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(description="epochs over which the curriculum goes on")
    curriculum: Literal["ratio", "strategies"] = Field(
        description="what grows: the ratio from the least to the largest, or the number of strategies, in their order"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("[min_mask_ratio, max_mask_ratio]", [self.min_mask_ratio, self.max_mask_ratio])
        return self


class ChannelAugmentation(Section):
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


class LWMTemporalPrediction(Section):
    temporal_offsets: list[int]
    known_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="known share of the slots or subcarriers")
    horizon: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        description="slots to predict in fine-tuning, drawn per batch, at most those not known; null for all of these"
    )
    few_shot: Count | None = Field(description="samples to fine-tune with, drawn from all data sets; null for all")
    inference_only: bool = Field(description="no fine-tuning: the pretrained network fills in the future frames")
    snr_db: NonNegativeRange = Field(description="SNR of the input, drawn uniformly per sample [dB]")
    training: Training

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_temporal_offsets(self.temporal_offsets)
        if self.horizon is not None:
            require_ordered("horizon", self.horizon)
        if self.inference_only and self.few_shot is not None:
            raise ValueError(f"few_shot {self.few_shot} with inference_only: true; nothing is fine-tuned, so null")
        return self


class PretrainLWMTemporal(Section):
    architecture: LWMTemporalArchitecture
    masking: MaskedChannelModelling
    augmentation: ChannelAugmentation | None = Field(description="null for none")
    training: Training
    prediction: LWMTemporalPrediction
    held_out: list[str] = Field(description="data sets that it never learns from: zero-shot")
    seeds: Seeds


Granularities = Annotated[list[Count], Field(min_length=1), AfterValidator(require_distinct)]


class SnapshotTokens(Section):
    """What WiMamba and LWM share: tokens of single snapshots and their masking."""

    patch_sizes: Granularities = Field(description="granularities: side lengths of a patch, one drawn per batch")
    max_seq_len: Count = Field(description="most tokens of a snapshot, class token included")
    mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    dropout: Probability


class WiMambaArchitecture(SnapshotTokens):
    hidden_size: Annotated[int, Field(ge=2, multiple_of=2)] = Field(description="width; each direction has half of it")
    depth: Count
    state_size: Count
    conv_kernel: Count
    expand: Positive = Field(description="inner width of a direction over its width")
    mlp_ratio: Positive


class LWMArchitecture(SnapshotTokens):
    hidden_size: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_whole_heads(self.heads, self.hidden_size)
        return self


class PretrainWiMamba(Section):
    architecture: WiMambaArchitecture
    training: Training
    held_out: list[str] = Field(description="data sets that it never learns from")
    seeds: Seeds


class PretrainLWM(Section):
    architecture: LWMArchitecture
    training: Training
    held_out: list[str] = Field(description="data sets that it never learns from")
    seeds: Seeds


class Autoregression(Section):
    order: Count = Field(description="past slots (or subcarriers) in the linear predictor")


class EvaluatePrediction(Section):
    snr_db: float = Field(description="SNR of the known part [dB]")
    history_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="known share of the slots")
    band_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="known share of the subcarriers")
    batch_size: Count
    autoregression: Autoregression
    latency_batch: Count
    latency_repetitions: Count
    noise_seed: Annotated[int, Field(ge=0)]


class DownstreamHeads(Section):
    """How heads on frozen representations are fitted."""

    steps: Count = Field(description="of Adam, whatever the number of labels")
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative
    penalties: Annotated[list[Positive], Field(min_length=1)] = Field(
        description="of a linear layer's squared weights, relative to the features' mean square; validation chooses"
    )


class Interpolation(Section):
    pilot_spacing: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(
        description="known is one in so many (antennas, subcarriers)"
    )


class Estimation(Section):
    snr_db: float = Field(description="SNR of the known channel [dB]")
    noise_seed: Annotated[int, Field(ge=0)]


class BeamTracking(Section):
    past: Count = Field(description="windows of a user that are known; the beam of the next one is asked for")


class LastLayers(Section):
    """Heads trained together with the last layers of WiMamba and LWM."""

    layers: Count
    fraction: Fraction = Field(description="share of the training labels")
    patch_size: Count
    training: Training


class EvaluateDownstream(Section):
    channels: str = Field(description="data set of snapshots whose channels are the input of every task")
    beams: str = Field(description="data set of the same site at the carrier of the beams")
    codebook: Annotated[int, Field(ge=2)] = Field(description="number of beams")
    patch_sizes: Granularities = Field(description="granularities of WiMamba, LWM and the raw channel")
    label_fractions: Annotated[list[Fraction], Field(min_length=1)] = Field(description="shares of the training labels")
    choice_fraction: Fraction = Field(
        description="one of label_fractions, at which representation and patch size are chosen on the validation split"
    )
    max_features: Count = Field(description="wider representations are projected on as many principal components")
    seeds: Seeds = Field(description="each draws the labels and the initial weights of the heads")
    heads: DownstreamHeads
    interpolation: Interpolation
    estimation: Estimation
    tracking: BeamTracking
    tuning: LastLayers | None = Field(description="null leaves every backbone as it is")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.label_fractions != sorted(set(self.label_fractions)):
            raise ValueError(f"label_fractions {self.label_fractions} must rise")
        if self.choice_fraction not in self.label_fractions:
            raise ValueError(
                f"choice_fraction {self.choice_fraction} is none of label_fractions {self.label_fractions}"
            )
        if self.tuning is not None and self.tuning.patch_size not in self.patch_sizes:
            raise ValueError(f"tuning.patch_size is {self.tuning.patch_size}, allowed: {self.patch_sizes}")
        return self


class EvaluateEfficiency(Section):
    """Forward passes of every backbone over synthetic channels of growing size."""

    batch_size: Count
    sizes: Annotated[list[Annotated[list[Count], Field(min_length=2, max_length=2)]], Field(min_length=2)] = Field(
        description="(antennas, subcarriers)"
    )
    slots: Count = Field(description="that LWM-Temporal and WiFo read; WiMamba and LWM read one of them")
    patch_size: Count = Field(description="granularity of WiMamba and LWM")
    repetitions: Count = Field(description="timed calls, of which the median counts")
    channel_seed: Annotated[int, Field(ge=0)]


class Register(Section):
    margin_db: NonNegative = Field(description="a challenger must beat the champion's held-out NMSE by more than this")
    latency_limit_ms: Positive = Field(description="a slower version never becomes champion: one prediction [ms]")
