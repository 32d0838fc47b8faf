"""Downstream tasks whose heads name classes: a multilayer perceptron with cross entropy, and the scores of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wavefoundry.evaluation.downstream.examples import Scores
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import FeatureTask

if TYPE_CHECKING:
    from wavefoundry.evaluation.downstream.options import Heads


class ClassificationTask(FeatureTask):
    """A perceptron whose widths are the option `hidden`; labels are non-negative whole numbers (sample,).

    named: how many classes the head names, the likeliest first; the metric counts the first one.
    guess: in words, what names the classes that are the most frequent among the training labels.
    """

    unit = ""
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

    def score(self, found: np.ndarray, labels: np.ndarray) -> Scores:
        return classification_scores(found, labels, self.metric, self.named)

    def reference(self, snapshots: Snapshots) -> tuple[str, Scores]:
        labels, test = self.labels(snapshots), snapshots.rows["test"]
        frequent = most_frequent(labels[snapshots.rows["train"]], self.named)
        return self.guess, self.score(np.broadcast_to(frequent, (len(test), len(frequent))), labels[test])


def classification_scores(ranked: np.ndarray, labels: np.ndarray, metric: str, named: int) -> Scores:
    """Shares of right answers, and the mean of the classes' F1, weighted by how many samples they have.

    Args:
        ranked: (example, at most `named`), the classes that a head names, the likeliest first.
        labels: (example,).
        metric: name of the share of examples whose first class is right.
        named: with more than one, "top_NAMED" is the share of examples whose class is among those named.
    """
    from sklearn.metrics import f1_score

    hit = ranked == labels[:, None]
    among = {f"top_{named}": float(hit.any(axis=1).mean())} if named > 1 else {}
    f1 = float(f1_score(labels, ranked[:, 0], average="weighted", zero_division=0))
    return {metric: float(hit[:, 0].mean())} | among | {"f1": f1}


def most_frequent(labels: np.ndarray, count: int) -> np.ndarray:
    """The `count` most frequent of some labels (example,), the most frequent first."""
    return np.argsort(-np.bincount(labels), kind="stable")[:count]
