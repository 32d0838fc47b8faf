"""Localisation: where a user stands, told from one channel and its strength.

Source: the downstream tasks of "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from wavefoundry.evaluation.downstream.examples import Scores, Statistics
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import FeatureTask, TaskOptions
from wavefoundry.section import Count

if TYPE_CHECKING:
    from wavefoundry.evaluation.downstream.options import Heads


class Options(TaskOptions):
    hidden: Annotated[list[Count], Field(min_length=1)] = Field(description="widths of the head's hidden layers")


class Task(FeatureTask):
    """Regression of the two horizontal coordinates [m]."""

    title = "localisation"
    metric = "absolute_error_m"
    higher_is_better = False
    sees_strength = True

    def labels(self, snapshots: Snapshots) -> np.ndarray:
        return snapshots.position

    def fit(
        self, features: np.ndarray, labels: np.ndarray, heads: "Heads", seed: int
    ) -> Callable[[np.ndarray], np.ndarray]:
        from wavefoundry.evaluation.downstream.heads import fit_regressor

        return fit_regressor(features, labels, tuple(self.options.hidden), heads, seed)

    def statistics(self, found: np.ndarray, labels: np.ndarray) -> Statistics:
        """Absolute error of a coordinate, mean over both, and distance [m]."""
        error = found - labels
        return {"absolute_error_m": np.abs(error).mean(axis=1), "distance_m": np.linalg.norm(error, axis=1)}

    def reference(self, snapshots: Snapshots) -> tuple[str, Scores]:
        train, test = (snapshots.position[snapshots.rows[split]] for split in ("train", "test"))
        return "the mean position", self.scores(self.statistics(train.mean(axis=0, keepdims=True), test))
