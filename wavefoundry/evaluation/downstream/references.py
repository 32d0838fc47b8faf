"""What is reached without learning from channels: the figures that every head has to beat first."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.interpolate import RegularGridInterpolator

from wavefoundry.config import EvaluateDownstream
from wavefoundry.evaluation.downstream.samples import past_windows
from wavefoundry.evaluation.downstream.tasks import (
    TOP,
    Scores,
    Snapshots,
    classification_scores,
    degraded,
    position_scores,
)
from wavefoundry.evaluation.metrics import nmse, to_db


def references(snapshots: Snapshots, section: EvaluateDownstream) -> dict[str, tuple[str, Scores]]:
    """{task: (what it is, its scores on the test split)}."""
    train, test = snapshots.rows["train"], snapshots.rows["test"]
    sight, beam, place = snapshots.line_of_sight.astype(int), snapshots.beam, snapshots.position
    clean = snapshots.csi[test]

    def error(estimate: Callable[[torch.Tensor], torch.Tensor], task: str) -> Scores:
        return {"nmse_db": to_db(nmse(estimate(degraded(task, snapshots.csi, section)[test]), clean).mean().item())}

    histories, next_rows = past_windows(snapshots.keys, section.tracking.past)
    tested = np.isin(next_rows, test)
    last = beam[histories[tested, -1:]]
    return {
        "los": ("the more frequent class", classification_scores("los", _frequent(sight[train], test, 1), sight[test])),
        "beam_prediction": (
            "the most frequent beams",
            classification_scores("beam_prediction", _frequent(beam[train], test, TOP), beam[test]),
        ),
        "beam_tracking": (
            "the best beam of the last window, known without error",
            classification_scores("beam_tracking", last, beam[next_rows[tested]]),
        ),
        "localisation": (
            "the mean position",
            position_scores(place[train].mean(axis=0, keepdims=True), place[test]),
        ),
        "interpolation": (
            "linear interpolation",
            error(lambda known: interpolate_linearly(known, section.interpolation.pilot_spacing), "interpolation"),
        ),
        "estimation": ("the noisy channel itself", error(lambda known: known, "estimation")),
    }


def _frequent(labels: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    order = np.argsort(-np.bincount(labels), kind="stable")[:count]
    return np.broadcast_to(order, (len(rows), len(order)))


def interpolate_linearly(known: torch.Tensor, spacing: list[int]) -> torch.Tensor:
    """Full channels from a lattice of pilots, linear between them and beyond the last ones.

    Args:
        known: complex (sample, antenna, subcarrier), of which one in `spacing` (antennas, subcarriers) is known.
    """
    antennas, subcarriers = known.shape[1:]
    pilots = tuple(np.arange(0, size, step) for size, step in zip((antennas, subcarriers), spacing, strict=True))
    values = known[:, :: spacing[0], :: spacing[1]].permute(1, 2, 0).numpy()
    lattice = RegularGridInterpolator(pilots, values, bounds_error=False, fill_value=None)
    everywhere = np.stack(np.meshgrid(np.arange(antennas), np.arange(subcarriers), indexing="ij"), axis=-1)
    return torch.from_numpy(lattice(everywhere)).permute(2, 0, 1).to(known.dtype)
