"""Typed configuration of the science: every section that a scenario, a model or an evaluation can have.

Light on purpose (pydantic only): a stage validates its parameters before it imports torch or sionna.
Units stand in the field descriptions; a value outside the stated range is refused with the name of its key.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
# A range [smallest, largest], both ends included.
NonNegativeRange = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]

Scene = Literal[
    "munich", "etoile", "florence", "san_francisco", "simple_street_canyon", "simple_street_canyon_with_cars"
]


def _require_distinct(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("values must be distinct")
    return values


# One model is trained per seed.
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_require_distinct)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are refused, values never change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _require_ordered(name: str, values: list[float]) -> None:
    if values[0] > values[1]:
        raise ValueError(f"{name} {values} must be [smallest, largest]")


class Array(Section):
    """Base-station antenna array in the y-z plane of the base station, single polarisation."""

    rows: Count = Field(description="elements along the vertical axis")
    columns: Count = Field(description="elements along the horizontal axis; 1 row makes a uniform linear array")
    spacing: Positive = Field(description="element spacing [wavelengths]")
    pattern: Literal["iso", "tr38901"] = Field(description="element pattern")


class BaseStation(Section):
    position: Vector = Field(description="[m]")
    orientation: Vector = Field(description="rotation around z, y, x [rad]")
    array: Array


class Traffic(Section):
    """Vehicles and pedestrians on the open ground between the buildings."""

    vehicles: Annotated[int, Field(ge=0)]
    pedestrians: Annotated[int, Field(ge=0)]
    vehicle_speed: NonNegativeRange = Field(description="[m/s]")
    pedestrian_speed: NonNegativeRange = Field(description="[m/s]")
    turn_probability: Probability = Field(description="chance of turning on 8 m of way where another street is open")
    user_height: Positive = Field(description="antenna height over the ground [m]")
    radius: Positive = Field(description="users stay within this horizontal distance of the base station [m]")
    cell_size: Positive = Field(description="resolution of the map of open ground [m]")
    clearance: NonNegative = Field(description="distance that users keep from walls [m]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        users = self.vehicles + self.pedestrians
        if users < 3:
            raise ValueError(f"vehicles + pedestrians is {users}; the three splits need at least 3 users")
        _require_ordered("vehicle_speed", self.vehicle_speed)
        _require_ordered("pedestrian_speed", self.pedestrian_speed)
        return self


class Sampling(Section):
    """A trajectory is seen in several windows, each a run of consecutive slots: one window is one CSI sample."""

    windows: Count = Field(description="windows per trajectory")
    window_interval: Positive = Field(description="time from window to window [s]")
    slots: Annotated[int, Field(ge=2)] = Field(description="slots per window")
    slot_duration: Positive = Field(description="[s]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window_interval < self.slots * self.slot_duration:
            raise ValueError(
                f"window_interval {self.window_interval} s is shorter than a window, "
                f"slots x slot_duration = {self.slots * self.slot_duration} s: windows would overlap"
            )
        return self


class Tracing(Section):
    max_depth: Annotated[int, Field(ge=0)] = Field(description="largest number of interactions of a path")
    samples_per_source: Count = Field(description="rays shot from the base station")
    diffuse_reflection: bool
    diffraction: bool
    max_paths: Count = Field(description="strongest paths kept per link")
    users_per_call: Count = Field(description="receivers traced together; bounds memory")


class Split(Section):
    """Shares of the trajectories; whole trajectories, never single windows, go to one split."""

    train: Fraction
    validation: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total}, it must be 1")
        return self


class RayTracedTwin(Section):
    kind: Literal["ray_traced"]
    scene: Scene
    carrier_frequency: Positive = Field(description="[Hz]")
    base_station: BaseStation
    traffic: Traffic
    sampling: Sampling
    tracing: Tracing
    split: Split


# Where the path loss models of TR 38.901 hold (Table 7.4.1-1): horizontal distance and height of the user [m].
TR38901_LIMITS = {
    "umi": {"distance": (10.0, 5000.0), "user_height": (1.5, 22.5)},
    "uma": {"distance": (10.0, 5000.0), "user_height": (1.5, 22.5)},
    "rma": {"distance": (10.0, 10000.0), "user_height": (1.0, 10.0)},
}


class StatisticalTwin(Section):
    """TR 38.901 drops: each user is one trajectory of constant velocity with one window."""

    kind: Literal["tr38901"]
    model: Literal["umi", "uma", "rma"]
    line_of_sight: bool
    carrier_frequency: Annotated[float, Field(ge=0.5e9, le=100e9)] = Field(description="[Hz]")
    array: Array
    base_station_height: Positive = Field(description="[m]")
    user_height: Positive = Field(description="[m]")
    users: Annotated[int, Field(ge=3)]
    distance: NonNegativeRange = Field(description="horizontal distance to the base station [m]")
    speed: NonNegativeRange = Field(description="[m/s]")
    slots: Annotated[int, Field(ge=2)]
    slot_duration: Positive = Field(description="[s]")
    users_per_call: Count = Field(
        description="users drawn together; part of the result, because the generator is batched"
    )
    split: Split

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_ordered("distance", self.distance)
        _require_ordered("speed", self.speed)
        limits = TR38901_LIMITS[self.model]
        for name, found in (("distance", self.distance), ("user_height", [self.user_height])):
            low, high = limits[name]
            if min(found) < low or max(found) > high:
                raise ValueError(f"{name} {found} m: TR 38.901 {self.model} holds from {low:g} to {high:g} m")
        return self


class OFDM(Section):
    subcarriers: Annotated[int, Field(ge=2)]
    subcarrier_spacing: Positive = Field(description="distance of neighbouring subcarriers in the data [Hz]")
    timing_advance: NonNegative = Field(
        description="the first path of a sample arrives this long after the start of the delay axis [s]"
    )
    links_per_call: Count = Field(description="samples turned into CSI together; bounds memory")


class Scenario(Section):
    twin: Annotated[RayTracedTwin | StatisticalTwin, Field(discriminator="kind")]
    ofdm: OFDM

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, antenna, subcarrier) of one CSI sample."""
        twin = self.twin
        array = twin.base_station.array if isinstance(twin, RayTracedTwin) else twin.array
        slots = twin.sampling.slots if isinstance(twin, RayTracedTwin) else twin.slots
        return slots, array.rows * array.columns, self.ofdm.subcarriers

    @property
    def array(self) -> Array:
        return self.twin.base_station.array if isinstance(self.twin, RayTracedTwin) else self.twin.array


class AngleDelay(Section):
    keep_percentage: Fraction = Field(description="share of the delay bins that is kept, the earliest ones")

    def kept_bins(self, subcarriers: int) -> int:
        """Delay bins kept of one per subcarrier, at least 1."""
        return max(1, round(subcarriers * self.keep_percentage))


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
        if self.hidden_size % self.heads:
            raise ValueError(f"heads {self.heads} does not divide hidden_size {self.hidden_size}")
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size {self.hidden_size} is odd; the sine-cosine positions need an even one")
        return self


class TeachWiFo(Section):
    architecture: WiFoArchitecture
    masking: SpaceTimeFrequencyMasking
    snr_db: NonNegativeRange = Field(description="SNR of the visible input, drawn uniformly per sample [dB]")
    training: Training
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
    max_seq_len: Count

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        head_dim = self.embed_dim // self.num_heads
        if head_dim % 2:
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
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(description="epochs over which the ratio rises")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_ordered("[min_mask_ratio, max_mask_ratio]", [self.min_mask_ratio, self.max_mask_ratio])
        return self


class LWMTemporalPrediction(Section):
    temporal_offsets: list[int]
    known_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="known share of the slots or subcarriers")
    snr_db: NonNegativeRange = Field(description="SNR of the input, drawn uniformly per sample [dB]")
    training: Training

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_temporal_offsets(self.temporal_offsets)
        return self


class PretrainLWMTemporal(Section):
    architecture: LWMTemporalArchitecture
    masking: MaskedChannelModelling
    training: Training
    prediction: LWMTemporalPrediction
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


class Register(Section):
    margin_db: NonNegative = Field(description="a challenger must beat the champion's held-out NMSE by more than this")
