"""Line of sight or not: does a path reach the user straight from the base station?

Source: the downstream tasks of "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from wavefoundry.evaluation.downstream.classification import ClassificationTask
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import TaskOptions
from wavefoundry.section import Count


class Options(TaskOptions):
    tunable: ClassVar[bool] = True

    hidden: Annotated[list[Count], Field(min_length=1)] = Field(description="widths of the head's hidden layers")


class Task(ClassificationTask):
    """Two classes, 1 for line of sight."""

    title = "line of sight or not"
    metric = "accuracy"
    sees_strength = True
    guess = "the more frequent class"

    def labels(self, snapshots: Snapshots) -> np.ndarray:
        return snapshots.line_of_sight.astype(int)
