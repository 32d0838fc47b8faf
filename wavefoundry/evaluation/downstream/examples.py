"""What the head of a task learns from and is scored on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SCORED = ("validation", "test")
NMSE = "nmse"  # the statistic of tasks that give back channels, a power ratio
Scores = dict[str, float]  # a figure for each metric
Statistics = dict[str, np.ndarray]  # figures of single samples (sample,), of which metrics are made
SplitStatistics = dict[str, Statistics]  # for each split of SCORED


@dataclass(frozen=True)
class Examples:
    """Features and labels of one task.

    features: (example, feature).
    strength: (example, 1), the logarithm of the received strength, or None where a head does not see it.
    labels: (example, ...).
    rows: of the splits "train", "validation" and "test".
    asked: (example,), the row of the snapshot whose label is asked for.
    """

    features: np.ndarray
    strength: np.ndarray | None
    labels: np.ndarray
    rows: dict[str, np.ndarray]
    asked: np.ndarray

    def snapshots(self, split: str) -> np.ndarray:
        """Rows of the snapshots that the examples of a split ask about."""
        return self.asked[self.rows[split]]


@dataclass(frozen=True)
class ChannelExamples:
    """Tokens of what is known of channels, and the clean channels behind them, of some of the snapshots.

    members: rows of these snapshots, rising.
    tokens: (member, token, feature).
    targets: (member, token, value), the patches of the clean channels.
    join: targets -> complex (sample, antenna, subcarrier).
    clean: complex (member, antenna, subcarrier), at the scale at which the tokens were read.
    rows: of the splits "train", "validation" and "test", among all snapshots; those of the last two are members.
    """

    members: np.ndarray
    tokens: "torch.Tensor"
    targets: "torch.Tensor"
    join: Callable[["torch.Tensor"], "torch.Tensor"]
    clean: "torch.Tensor"
    rows: dict[str, np.ndarray]

    def snapshots(self, split: str) -> np.ndarray:
        """Rows of the snapshots of a split."""
        return self.rows[split]
