"""Typed parameters of the evaluations."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from wavefoundry.evaluation.suite_options import SuiteOptions
from wavefoundry.section import LARGEST_COUNT, Count, Fraction, NonNegative, Probability, Section, Seed, Share


class KnownBlock(Section):
    """The block that is known: the first slots and the lowest subcarriers."""

    slots: Fraction = Field(description="share of the slots")
    subcarriers: Fraction = Field(description="share of the subcarriers")


class WantedBlock(Section):
    """The block that is asked for, right beyond the known one."""

    slots: Probability = Field(description="share of the slots, after the known ones; 0: the known ones are meant")
    subcarriers: Probability = Field(
        description="share of the subcarriers, above the known ones; 0: the known ones are meant"
    )


class Blocks(Section):
    """What is known of a sample, and what is asked for."""

    known: KnownBlock
    wanted: WantedBlock

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis in ("slots", "subcarriers"):
            known, wanted = getattr(self.known, axis), getattr(self.wanted, axis)
            if known + wanted > 1:
                raise ValueError(f"known.{axis} {known} and wanted.{axis} {wanted} are more than the whole, 1")
        if not self.wanted.slots and not self.wanted.subcarriers:
            raise ValueError("wanted.slots and wanted.subcarriers are both 0: nothing is asked for")
        return self

    def sizes(self, slots: int, subcarriers: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Known and wanted numbers of (slots, subcarriers) in samples of this size; wanted 0: the known ones."""
        whole = {"slots": slots, "subcarriers": subcarriers}
        known = [max(1, round(size * getattr(self.known, axis))) for axis, size in whole.items()]
        wanted = [
            min(max(1, round(size * share)), size - before) if (share := getattr(self.wanted, axis)) else 0
            for (axis, size), before in zip(whole.items(), known, strict=True)
        ]
        return (known[0], known[1]), (wanted[0], wanted[1])


class QuestionOptions(Blocks):
    """A question of prediction; about some data sets other shares may be known and asked for than about all others, or
    nothing is asked."""

    exceptions: dict[str, Blocks | None] = Field(
        description="by data set, in place of known and wanted; null: it is not asked about this one; {}: none"
    )

    def about(self, dataset: str) -> Blocks | None:
        """What is known of a data set, and what is asked for; None if nothing is."""
        return self.exceptions.get(dataset, self)


class Bootstrap(Section):
    """Intervals by drawing trajectories anew; a predictor and what it is compared with see the same ones."""

    resamples: Annotated[int, Field(ge=100)]
    level: Share = Field(description="share of the resamples that an interval holds")
    seed: Seed


class ZeroForcing(Section):
    """Groups of users of one site that are served at once."""

    users: Annotated[int, Field(ge=2, le=LARGEST_COUNT)] = Field(description="of a group")
    groups: Count = Field(description="of each data set, drawn from its test split; they may share users")
    seed: Seed


class Prediction(Section):
    """Every predictor on every question and data set."""

    snr_db: float = Field(description="SNR of the known block [dB]")
    noise_seed: Seed
    batch_size: Count
    beamforming_snr_db: float = Field(description="of one antenna, where predictions steer beams [dB]")
    speeds: Annotated[list[NonNegative], Field(min_length=2)] = Field(
        description="edges of the speeds that scores are told for [m/s], ascending"
    )
    snr_curve: list[float] = Field(description="SNRs of the known block, for a curve [dB]")
    snr_curve_samples: Count = Field(description="test samples of each data set on that curve, at most; evenly spread")
    zero_forcing: ZeroForcing | None = Field(description="at the same SNR; null leaves groups of users out")
    bootstrap: Bootstrap
    questions: dict[str, QuestionOptions] = Field(min_length=1)
    suites: dict[str, SuiteOptions] = Field(description="of these questions under other conditions")

    @model_validator(mode="after")
    def _check_speeds(self) -> Self:
        if any(low >= high for low, high in pairwise(self.speeds)):
            raise ValueError(f"speeds {self.speeds} must be ascending")
        return self


class Efficiency(Section):
    """What predictions and representations cost."""

    batch_size: Count = Field(description="samples of one timed call")
    repetitions: Count = Field(description="timed calls, of which the median counts")
    prediction_repetitions: Count = Field(description="timed predictions, of which the median counts")
    sizes: Annotated[list[Annotated[list[Count], Field(min_length=2, max_length=2)]], Field(min_length=2)] = Field(
        description="(antennas, subcarriers) of synthetic channels that backbones read"
    )
    slots: Count = Field(description="that backbones of sequences read; those of snapshots read one of them")
    patch_size: Count = Field(description="granularity of backbones that have the choice")
    channel_seed: Seed
