"""Downstream tasks whose heads name classes: a multilayer perceptron with cross entropy, and the scores of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wavefoundry.evaluation.downstream.examples import Scores, Statistics
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import FeatureTask

if TYPE_CHECKING:
    from wavefoundry.evaluation.downstream.options import Heads

F1 = "f1"
FOUND, LABEL = "found", "label"  # statistics of which F1 is made, which is no mean over samples


class ClassificationTask(FeatureTask):
    """A perceptron whose widths are the option `hidden`; labels are non-negative whole numbers (sample,).

    What a head found are classes (example, at most `named`), the likeliest first. Statistics of an example are whether
    the first one is right, under the name of the metric, whether one of those named is, as `top_NAMED`, and the class
    itself beside the label. A task whose metric is "f1" is decided by the last two.

    named: how many classes the head names, the likeliest first; the metric counts the first one.
    guess: in words, what names the classes that are the most frequent among the training labels.
    """

    higher_is_better = True
    named: ClassVar[int] = 1
    guess: ClassVar[str]

    def fit(
        self, features: np.ndarray, labels: np.ndarray, heads: "Heads", seed: int
    ) -> Callable[[np.ndarray], np.ndarray]:
        """A head, features (example, feature) -> classes (example, at most `named`), the likeliest first."""
        from wavefoundry.evaluation.downstream.heads import fit_classifier, ranked_classes

        classifier = fit_classifier(features, labels, tuple(self.options.hidden), heads, seed)
        return lambda some: ranked_classes(classifier, some, self.named)

    @property
    def deciding(self) -> tuple[str, ...]:
        return (FOUND, LABEL) if self.metric == F1 else (self.metric,)

    def statistics(self, found: np.ndarray, labels: np.ndarray) -> Statistics:
        hit = found == labels[:, None]
        among = {f"top_{self.named}": hit.any(axis=1)} if self.named > 1 else {}
        first = {} if self.metric == F1 else {self.metric: hit[:, 0]}
        return {**first, **among, FOUND: found[:, 0], LABEL: labels}

    def scores(self, statistics: Statistics, times: np.ndarray | None = None) -> Scores:
        """Shares of right answers, and the mean of the classes' F1, weighted by how many samples they have."""
        from sklearn.metrics import f1_score

        shares = {name: values for name, values in statistics.items() if name not in (FOUND, LABEL)}
        found = super().scores(shares, times)
        if LABEL in statistics:
            labels, first = statistics[LABEL], statistics[FOUND]
            found[F1] = float(f1_score(labels, first, average="weighted", sample_weight=times, zero_division=0))
        return found

    def reference(self, snapshots: Snapshots) -> tuple[str, Scores]:
        labels, test = self.labels(snapshots), snapshots.rows["test"]
        frequent = most_frequent(labels[snapshots.rows["train"]], self.named)
        named = np.broadcast_to(frequent, (len(test), len(frequent)))
        return self.guess, self.scores(self.statistics(named, labels[test]))


def most_frequent(labels: np.ndarray, count: int) -> np.ndarray:
    """The `count` most frequent of some labels (example,), the most frequent first."""
    return np.argsort(-np.bincount(labels), kind="stable")[:count]
