"""Beam prediction: which millimetre-wave beam serves a user best, told from the channel at a lower carrier.

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
    """A class for each beam of the codebook; a base station can afford to try the three likeliest ones."""

    title = "beam prediction"
    metric = "top_1"
    named = 3
    guess = "the most frequent beams"

    def labels(self, snapshots: Snapshots) -> np.ndarray:
        return snapshots.beam
