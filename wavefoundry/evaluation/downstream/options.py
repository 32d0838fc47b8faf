"""Typed parameters of the downstream tasks; the settings of each task stand in its own file in wavefoundry/tasks."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from wavefoundry.section import LARGEST_COUNT, Count, Fraction, NonNegative, Positive, Section, Seeds, require_distinct
from wavefoundry.training.options import Training

RAW = "raw"  # in the results, the name of the raw channel among the models
RAW_LMMSE = "raw_lmmse"  # the best linear estimate from the whole raw channel, of tasks that give back channels
UNTRAINED = "_untrained"  # ending of the name of a network as it was before any training, the control of pretraining


class Heads(Section):
    """How heads on frozen representations are fitted."""

    steps: Count = Field(description="of Adam, whatever the number of labels")
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative
    penalties: Annotated[list[Positive], Field(min_length=1)] = Field(
        description="of a linear layer's squared weights, relative to the features' mean square; validation chooses"
    )
    stationary_shares: Annotated[list[Fraction], Field(min_length=1)] = Field(
        description="of a covariance that depends on distances alone, in that of the LMMSE estimate; validation chooses"
    )


class LastLayers(Section):
    """Heads trained together with the last layers of the networks whose layers can be tuned, and without, alike."""

    tasks: Annotated[list[str], Field(min_length=1)] = Field(description="names of those of `tasks` that are tuned")
    layers: Count = Field(description="last layers that learn")
    fraction: Fraction = Field(description="share of the training labels")
    patch_size: Count = Field(description="granularity, of networks that have the choice")
    training: Training = Field(description="of heads and layers together, and of the same heads alone")


class Downstream(Section):
    """Heads of every task on the representations of every network and on the raw channel."""

    channels: str = Field(description="data set of snapshots whose channels are the input of every task")
    beams: str = Field(description="data set of the same site at the carrier of the beams")
    codebook: Annotated[int, Field(ge=2, le=LARGEST_COUNT)] = Field(description="number of beams")
    patch_sizes: Annotated[list[Count], Field(min_length=1), AfterValidator(require_distinct)] = Field(
        description="granularities of the raw channel and of networks that have the choice"
    )
    label_fractions: Annotated[list[Fraction], Field(min_length=1)] = Field(description="shares of the training labels")
    choice_fraction: Fraction = Field(
        description="one of label_fractions, at which representation and patch size are chosen on the validation split"
    )
    max_features: Count = Field(description="wider representations are projected on as many principal components")
    seeds: Seeds = Field(description="each draws the labels and the initial weights of the heads")
    heads: Heads
    tasks: dict[str, Any] = Field(min_length=1, description="options of each task, with the name of its file as `task`")
    tuning: LastLayers | None = Field(description="null leaves every network as it is")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.label_fractions != sorted(set(self.label_fractions)):
            raise ValueError(f"label_fractions {self.label_fractions} must rise")
        if self.choice_fraction not in self.label_fractions:
            raise ValueError(
                f"choice_fraction {self.choice_fraction} is none of label_fractions {self.label_fractions}"
            )
        if self.tuning is not None:
            self._check_tuning(self.tuning)
        return self

    def _check_tuning(self, tuning: LastLayers) -> None:
        if tuning.patch_size not in self.patch_sizes:
            raise ValueError(f"tuning.patch_size is {tuning.patch_size}, allowed: {self.patch_sizes}")
        if len(set(tuning.tasks)) < len(tuning.tasks):
            raise ValueError(f"tuning.tasks {tuning.tasks} must be distinct")
        tunable = [name for name, options in self.tasks.items() if options.tunable]
        for name in tuning.tasks:
            if name not in tunable:
                why = "its head cannot be tuned with a network" if name in self.tasks else "there is no such task"
                raise ValueError(f"tuning.tasks names {name!r}: {why}, allowed: {', '.join(tunable) or 'none'}")
