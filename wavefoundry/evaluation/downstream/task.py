"""What a downstream task says of itself, and how tasks are found by name.

A task is a file `wavefoundry/tasks/NAME.py` that can be imported without torch and scikit-learn, for params.yaml is
checked through it. It defines `Options`, a `TaskOptions` with every setting of the task, and `Task`, made of them: a

- `FeatureTask`, a head on the features of a snapshot, or a `ClassificationTask`
  (wavefoundry.evaluation.downstream.classification), a head that names classes; or a
- `ChannelTask`, one linear layer for all patches that gives back a channel.

An entry `evaluate.downstream.tasks.NAME` of params.yaml turns it on. Tables and pictures grow with the tasks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import wavefoundry.tasks
from wavefoundry.discovery import options_of_files
from wavefoundry.evaluation.downstream.examples import (
    NMSE,
    SCORED,
    ChannelExamples,
    Examples,
    Scores,
    SplitStatistics,
    Statistics,
)
from wavefoundry.evaluation.downstream.samples import labelled_subset
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.facts import Facts
from wavefoundry.section import Section

if TYPE_CHECKING:
    import torch

    from wavefoundry.evaluation.downstream.inputs import Reading
    from wavefoundry.evaluation.downstream.options import Downstream, Heads

PER_PATCH = "per_patch"  # what channel tasks read: one linear layer for all patches
WHOLE_CHANNEL = "whole_channel"  # one linear layer for all that is known


class TaskOptions(Section):
    """Settings of one task.

    tunable: whether the head, a `ClassificationTask` on the features of one snapshot, can be trained together with the
        last layers of a network.
    gives_channels: whether the task is a `ChannelTask`.
    """

    tunable: ClassVar[bool] = False
    gives_channels: ClassVar[bool] = False

    def why_not(self, facts: Facts) -> str | None:
        """Why the task cannot be asked of the channels of a data set; None if it can."""
        return None


class DownstreamTask(ABC):
    """What is asked of a head, which examples it learns from, and how it is scored.

    title: in words, for headings.
    metric: the score that decides; scores may have others beside it. Names end in `_m` [m] or `_db` [dB] where there is
        a unit.
    deciding: the statistics of single samples of which the metric is made.
    higher_is_better: which way is up.
    """

    title: ClassVar[str]
    metric: ClassVar[str]
    higher_is_better: ClassVar[bool]

    def __init__(self, options: Any):
        self.options = options

    @property
    def deciding(self) -> tuple[str, ...]:
        return (self.metric,)

    def scores(self, statistics: Statistics, times: np.ndarray | None = None) -> Scores:
        """The metrics that some statistics of samples give; by default the mean of each, under its name.

        Args:
            statistics: all, or those that are `deciding`.
            times: (sample,), how often each sample counts, as if it were there so many times; None: once.
        """
        return {name: float(np.average(values, weights=times)) for name, values in statistics.items()}

    def better(self, one: float, other: float) -> bool:
        """Whether one value of the metric is better than another one."""
        return one > other if self.higher_is_better else one < other

    @abstractmethod
    def representations(self, available: tuple[str, ...]) -> tuple[str, ...]:
        """The representations that a head may read, of those that an input gives."""

    @abstractmethod
    def read(self, reading: "Reading", representation: str, fraction: float, seeds: Sequence[int]) -> Any:
        """The examples of one representation, with `rows` of the splits.

        Args:
            reading: all snapshots as an input gives them.
            representation: one of `representations`.
            fraction: the largest share of the labels that heads will see.
            seeds: of the draws of these labels.
        """

    @abstractmethod
    def evaluate(self, examples: Any, fraction: float, seeds: Sequence[int], heads: "Heads") -> list[SplitStatistics]:
        """Fit one head for each seed on a share of the labels; statistics of the samples of "validation" and "test".

        Args:
            examples: what `read` gave.
            fraction: share of the training labels that a head sees.
            seeds: of the draw of the labels and of the initial weights.
            heads: how heads are fitted.
        """

    @abstractmethod
    def reference(self, snapshots: Snapshots) -> tuple[str, Scores]:
        """What is reached on the test split without learning from channels: in words, and its scores."""

    def variants(self, examples: Any) -> dict[str, Any]:
        """The same examples with less to see, by a name of what is left, scored for comparison; by default none."""
        return {}


class FeatureTask(DownstreamTask):
    """A head on the features of every snapshot.

    sees_strength: whether the head sees the received strength besides the features, which have none.
    """

    sees_strength: ClassVar[bool] = False

    @abstractmethod
    def labels(self, snapshots: Snapshots) -> np.ndarray:
        """The label of every snapshot: (sample, ...)."""

    @abstractmethod
    def fit(
        self, features: np.ndarray, labels: np.ndarray, heads: "Heads", seed: int
    ) -> Callable[[np.ndarray], np.ndarray]:
        """A head, features (example, feature) -> what `statistics` takes, fitted to labels (example, ...)."""

    @abstractmethod
    def statistics(self, found: np.ndarray, labels: np.ndarray) -> Statistics:
        """How well each example was found: what a head says, and labels (example, ...) -> (example,) by name."""

    def examples(self, snapshots: Snapshots, features: np.ndarray, strength: np.ndarray | None) -> Examples:
        """Examples on features (sample, feature) and strength (sample, 1) of the snapshots: one for each of them."""
        return Examples(features, strength, self.labels(snapshots), snapshots.rows, np.arange(len(features)))

    def representations(self, available: tuple[str, ...]) -> tuple[str, ...]:
        return available

    def read(self, reading: "Reading", representation: str, fraction: float, seeds: Sequence[int]) -> Examples:
        strength = reading.strength if self.sees_strength else None
        return self.examples(reading.snapshots, reading.features(representation), strength)

    def evaluate(
        self, examples: Examples, fraction: float, seeds: Sequence[int], heads: "Heads"
    ) -> list[SplitStatistics]:
        return [self._evaluate(examples, fraction, seed, heads) for seed in seeds]

    def _evaluate(self, examples: Examples, fraction: float, seed: int, heads: "Heads") -> SplitStatistics:
        from wavefoundry.evaluation.downstream.heads import Scaling

        labelled = labelled_subset(examples.rows["train"], fraction, seed)
        parts = [part for part in (examples.features, examples.strength) if part is not None]
        # Scaled one by one, or the strength would vanish beside many features.
        seen = np.concatenate([Scaling.of(part[labelled])(part) for part in parts], axis=1)
        head = self.fit(seen[labelled], examples.labels[labelled], heads, seed)
        return {
            split: self.statistics(head(seen[rows]), examples.labels[rows])
            for split, rows in examples.rows.items()
            if split in SCORED
        }


class ChannelTask(DownstreamTask):
    """One linear layer for all patches, which gives back the clean channel from what is known of it.

    without_learning: what `estimate` does, in words.
    """

    metric = "nmse_db"
    higher_is_better = False
    without_learning: ClassVar[str]

    @property
    def deciding(self) -> tuple[str, ...]:
        return (NMSE,)

    def scores(self, statistics: Statistics, times: np.ndarray | None = None) -> Scores:
        """The mean of the ratios in decibels."""
        from wavefoundry.evaluation.metrics import to_db

        return {self.metric: to_db(float(np.average(statistics[NMSE], weights=times)))}

    @abstractmethod
    def known(self, csi: "torch.Tensor") -> "torch.Tensor":
        """What is known of clean channels: complex (sample, antenna, subcarrier) -> the same shape."""

    @abstractmethod
    def lattice(self, antennas: int, subcarriers: int) -> np.ndarray:
        """Which entries are known: bool (antenna, subcarrier)."""

    @property
    @abstractmethod
    def noise(self) -> float:
        """Power of the noise on the known entries, relative to that of the channel."""

    @abstractmethod
    def estimate(self, known: "torch.Tensor") -> "torch.Tensor":
        """The clean channels without learning: complex (sample, antenna, subcarrier) -> the same shape."""

    def representations(self, available: tuple[str, ...]) -> tuple[str, ...]:
        return (PER_PATCH,)

    def read(self, reading: "Reading", representation: str, fraction: float, seeds: Sequence[int]) -> ChannelExamples:
        """Examples of the snapshots that heads need at a share of the labels: reading them all takes its time."""
        from wavefoundry.evaluation.downstream.channels import channel_examples

        snapshots = reading.snapshots
        labelled = [labelled_subset(snapshots.rows["train"], fraction, seed) for seed in seeds]
        members = np.unique(np.concatenate([*labelled, *(snapshots.rows[split] for split in SCORED)]))
        known = self.known(snapshots.csi)[members]
        return channel_examples(reading.source, reading.source.embed(known), snapshots, members)

    def evaluate(
        self, examples: ChannelExamples, fraction: float, seeds: Sequence[int], heads: "Heads"
    ) -> list[SplitStatistics]:
        from wavefoundry.evaluation.downstream.channels import score_channel_head

        # All labels are the same labels for every seed, and a linear head is found exactly.
        drawn = seeds[:1] if fraction == 1 else seeds
        found = [score_channel_head(examples, fraction, seed, heads.penalties) for seed in drawn]
        return found * (len(seeds) // len(drawn))

    def reference(self, snapshots: Snapshots) -> tuple[str, Scores]:
        from wavefoundry.evaluation.metrics import nmse

        test = snapshots.rows["test"]
        estimate = self.estimate(self.known(snapshots.csi)[test])
        return self.without_learning, self.scores({NMSE: nmse(estimate, snapshots.csi[test]).numpy()})


@cache
def tasks() -> dict[str, type[TaskOptions]]:
    """The options of every task by the name of its file."""
    return options_of_files(wavefoundry.tasks)


def make(name: str, options: TaskOptions) -> DownstreamTask:
    """The task of the file `name`."""
    return import_module(f"wavefoundry.tasks.{name}").Task(options)


def tasks_of(section: "Downstream") -> Mapping[str, DownstreamTask]:
    """Every task of a study by the name of its entry."""
    return {name: make(options.task, options) for name, options in section.tasks.items()}
