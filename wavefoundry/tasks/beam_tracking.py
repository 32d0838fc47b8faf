"""Beam tracking: the best beam of a user's next window, told from the channels of the windows before.

Source: the downstream tasks of "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from wavefoundry.evaluation.downstream.classification import ClassificationTask
from wavefoundry.evaluation.downstream.examples import Examples, Scores
from wavefoundry.evaluation.downstream.samples import past_windows
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import TaskOptions
from wavefoundry.section import Count


class Options(TaskOptions):
    hidden: Annotated[list[Count], Field(min_length=1)] = Field(description="widths of the head's hidden layers")
    past: Count = Field(description="windows of a user that are known; the beam of the next one is asked for")


class Task(ClassificationTask):
    """A class for each beam of the codebook; a base station can afford to try the three likeliest ones."""

    title = "beam tracking"
    metric = "top_1"
    named = 3

    def labels(self, snapshots: Snapshots) -> np.ndarray:
        return snapshots.beam

    def examples(self, snapshots: Snapshots, features: np.ndarray, strength: np.ndarray | None) -> Examples:
        """The features of a user's past windows side by side; the label is the beam of the window that follows them.

        Raises:
            InputError: no user has so many windows in a row.
        """
        histories, next_rows = past_windows(snapshots.keys, self.options.past)
        rows = {split: np.flatnonzero(np.isin(next_rows, members)) for split, members in snapshots.rows.items()}
        seen = features[histories].reshape(len(histories), -1)
        return Examples(seen, None, self.labels(snapshots)[next_rows], rows, next_rows)

    def variants(self, examples: Examples) -> dict[str, Examples]:
        """What the last window alone tells: the difference is what the past adds."""
        width = examples.features.shape[1] // self.options.past
        return {"last_window": replace(examples, features=examples.features[:, -width:])}

    def reference(self, snapshots: Snapshots) -> tuple[str, Scores]:
        histories, next_rows = past_windows(snapshots.keys, self.options.past)
        tested = np.isin(next_rows, snapshots.rows["test"])
        beams = self.labels(snapshots)
        last = beams[histories[tested, -1:]]
        scores = self.scores(self.statistics(last, beams[next_rows[tested]]))
        return "the best beam of the last window, known without error", scores
