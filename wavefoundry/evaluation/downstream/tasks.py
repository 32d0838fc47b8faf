"""The tasks: what is asked of a head, which examples it learns from, and how it is scored."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import f1_score

from wavefoundry.config import EvaluateDownstream
from wavefoundry.csi.noise import add_noise
from wavefoundry.evaluation.downstream.heads import (
    Scaling,
    as_rows,
    fit_classifier,
    fit_linear,
    fit_regressor,
    ranked_classes,
)
from wavefoundry.evaluation.downstream.samples import labelled_subset, past_windows
from wavefoundry.evaluation.metrics import nmse, to_db

LOS_HIDDEN, BEAM_HIDDEN, LOCALISATION_HIDDEN = (8,), (256, 128), (64, 32)
TOP = 3  # beams that a base station can afford to try
Scores = dict[str, float]


@dataclass(frozen=True)
class Task:
    """A task by the figure that decides: its name in the scores, its unit, and which way is up."""

    title: str
    metric: str
    unit: str
    higher_is_better: bool

    def better(self, one: float, other: float) -> bool:
        return one > other if self.higher_is_better else one < other


TASKS = {
    "los": Task("line of sight or not", "accuracy", "", True),
    "beam_prediction": Task("beam prediction", "top_1", "", True),
    "beam_tracking": Task("beam tracking", "top_1", "", True),
    "localisation": Task("localisation", "absolute_error_m", "m", False),
    "interpolation": Task("channel interpolation", "nmse_db", "dB", False),
    "estimation": Task("channel estimation", "nmse_db", "dB", False),
}
FEATURE_TASKS = ("los", "beam_prediction", "beam_tracking", "localisation")
CHANNEL_TASKS = ("interpolation", "estimation")


@dataclass(frozen=True)
class Snapshots:
    """Labelled channels of one site.

    csi: complex64 (sample, antenna, subcarrier), what every head reads in some form.
    line_of_sight: bool (sample,).
    beam: int (sample,), the best beam of the millimetre-wave array for the same user at the same place.
    position: (sample, 2) [m].
    keys: int (sample, 3): base station, trajectory, window.
    rows: of the splits "train", "validation" and "test".
    """

    csi: torch.Tensor
    line_of_sight: np.ndarray
    beam: np.ndarray
    position: np.ndarray
    keys: np.ndarray
    rows: dict[str, np.ndarray]


@dataclass(frozen=True)
class Examples:
    """Features and labels of one task; `strength` is the logarithm of the received strength where a head may see it."""

    features: np.ndarray
    strength: np.ndarray | None
    labels: np.ndarray
    rows: dict[str, np.ndarray]


def examples(task: str, snapshots: Snapshots, features: np.ndarray, scale: np.ndarray, past: int) -> Examples:
    """Examples of a task on features (sample, feature) of the snapshots, whose RMS is `scale` (sample,).

    In beam tracking the features of the `past` windows of a user stand side by side, and the label is the beam of the
    window that follows them.
    """
    strength = np.log10(scale)[:, None].astype(np.float32)
    if task == "los":
        return Examples(features, strength, snapshots.line_of_sight.astype(int), snapshots.rows)
    if task == "localisation":
        return Examples(features, strength, snapshots.position, snapshots.rows)
    if task == "beam_prediction":
        return Examples(features, None, snapshots.beam, snapshots.rows)
    histories, next_rows = past_windows(snapshots.keys, past)
    rows = {split: np.flatnonzero(np.isin(next_rows, members)) for split, members in snapshots.rows.items()}
    return Examples(features[histories].reshape(len(histories), -1), None, snapshots.beam[next_rows], rows)


def score_head(task: str, data: Examples, fraction: float, seed: int, section: EvaluateDownstream) -> dict[str, Scores]:
    """Train a head on a fraction of the labels; its scores on {"validation": ..., "test": ...}."""
    labelled = labelled_subset(data.rows["train"], fraction, seed)
    seen = _scaled(data, labelled)
    labels = data.labels[labelled]
    if task == "localisation":
        head = fit_regressor(seen[labelled], labels, LOCALISATION_HIDDEN, section.heads, seed)
        return {split: position_scores(head(seen[data.rows[split]]), data.labels[data.rows[split]]) for split in SCORED}
    hidden = LOS_HIDDEN if task == "los" else BEAM_HIDDEN
    classifier = fit_classifier(seen[labelled], labels, hidden, section.heads, seed)
    return {
        split: classification_scores(task, ranked_classes(classifier, seen[rows], TOP), data.labels[rows])
        for split, rows in data.rows.items()
        if split in SCORED
    }


SCORED = ("validation", "test")


def _scaled(data: Examples, labelled: np.ndarray) -> np.ndarray:
    parts = [data.features] if data.strength is None else [data.features, data.strength]
    return np.concatenate([Scaling.of(part[labelled])(part) for part in parts], axis=1)


def classification_scores(task: str, ranked: np.ndarray, labels: np.ndarray) -> Scores:
    hit = ranked == labels[:, None]
    f1 = float(f1_score(labels, ranked[:, 0], average="weighted", zero_division=0))
    if task == "los":
        return {"accuracy": float(hit[:, 0].mean()), "f1": f1}
    return {"top_1": float(hit[:, 0].mean()), f"top_{TOP}": float(hit.any(axis=1).mean()), "f1": f1}


def position_scores(found: np.ndarray, positions: np.ndarray) -> Scores:
    """Mean absolute error of a coordinate, and mean distance, both [m]."""
    error = found - positions
    return {
        "absolute_error_m": float(np.abs(error).mean()),
        "distance_m": float(np.linalg.norm(error, axis=1).mean()),
    }


def keep_pilots(csi: torch.Tensor, spacing: list[int]) -> torch.Tensor:
    """CSI (sample, antenna, subcarrier) on a lattice of pilots, one in `spacing` (antennas, subcarriers); else zero."""
    known = torch.zeros_like(csi)
    lattice = (slice(None), slice(None, None, spacing[0]), slice(None, None, spacing[1]))
    known[lattice] = csi[lattice]
    return known


def degraded(task: str, csi: torch.Tensor, section: EvaluateDownstream) -> torch.Tensor:
    """What is known of the channels (sample, antenna, subcarrier) in interpolation or estimation."""
    if task == "interpolation":
        return keep_pilots(csi, section.interpolation.pilot_spacing)
    generator = torch.Generator().manual_seed(section.estimation.noise_seed)
    return add_noise(csi, section.estimation.snr_db, generator)


@dataclass(frozen=True)
class ChannelExamples:
    """Tokens of what is known of channels, and the clean channels behind them, of some of the snapshots.

    members: rows of these snapshots, rising.
    tokens: (member, token, feature).
    targets: (member, token, value), the patches of the clean channels.
    join: targets -> complex (sample, antenna, subcarrier).
    clean: complex (member, antenna, subcarrier), at the scale at which the tokens were read.
    """

    members: np.ndarray
    tokens: torch.Tensor
    targets: torch.Tensor
    join: Callable[[torch.Tensor], torch.Tensor]
    clean: torch.Tensor


def score_channel_head(
    data: ChannelExamples, rows: dict[str, np.ndarray], fraction: float, seed: int, section: EvaluateDownstream
) -> dict[str, Scores]:
    """Find one linear head for all patches; {"validation": {"nmse_db": dB}, "test": ...}.

    Args:
        data: has all rows of the validation and test splits, and those that the seed draws for training.
        rows: of the splits, all of them.
        fraction: share of the training rows whose clean channels are known.
        seed: of their draw.
        section: parameters.
    """

    def members(some: np.ndarray) -> np.ndarray:
        return np.searchsorted(data.members, some)

    def error(layer: Callable, split: str) -> float:
        at = members(rows[split])
        tokens = data.tokens[at]
        found = torch.from_numpy(layer(as_rows(tokens))).view(*tokens.shape[:2], -1)
        return nmse(data.join(found), data.clean[at]).mean().item()

    labelled = members(labelled_subset(rows["train"], fraction, seed))
    layer = fit_linear(
        as_rows(data.tokens[labelled]),
        as_rows(data.targets[labelled]),
        section.heads.penalties,
        lambda layer: error(layer, "validation"),
    )
    return {split: {"nmse_db": to_db(error(layer, split))} for split in SCORED}
