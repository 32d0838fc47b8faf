"""Options of all tasks, a section around them, and labelled channels whose labels can be told from them."""

from typing import Any, Literal

import numpy as np
import torch
from pydantic import create_model

from wavefoundry.evaluation.downstream.options import Downstream, Heads
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import DownstreamTask, TaskOptions, make, tasks

HEADS = Heads(
    steps=150, batch_size=64, learning_rate=5e-3, weight_decay=0.1, penalties=[1e-6, 1e-4, 1e-2, 1.0],
    stationary_shares=[0.1, 1.0],
)  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "los": {"hidden": [8]},
    "beam_prediction": {"hidden": [256, 128]},
    "beam_tracking": {"hidden": [256, 128], "past": 3},
    "localisation": {"hidden": [64, 32]},
    "interpolation": {"pilot_spacing": [2, 4]},
    "estimation": {"snr_db": 10.0, "noise_seed": 0},
}
CHANNEL_TASKS = ("interpolation", "estimation")


def entry(task: str, **changes) -> TaskOptions:
    """The options of an entry of params.yaml, which names its task."""
    kind = create_model(f"{task}_entry", __base__=tasks()[task], task=(Literal[task], ...))
    return kind.model_validate({"task": task} | OPTIONS[task] | changes)


def example_task(name: str, **changes) -> DownstreamTask:
    """A task with some of its options replaced."""
    return make(name, entry(name, **changes))


def section(**changes) -> Downstream:
    """Small, with one entry for each task under the task's own name."""
    small = {
        "channels": "snapshots",
        "beams": "beams",
        "codebook": 64,
        "patch_sizes": [2, 4],
        "label_fractions": [0.5, 1.0],
        "choice_fraction": 0.5,
        "max_features": 128,
        "seeds": [0, 1],
        "heads": HEADS.model_dump() | {"steps": 8, "penalties": [1e-4, 1e-2]},
        "tasks": {name: entry(name) for name in OPTIONS} | {"beam_tracking": entry("beam_tracking", past=2)},
        "tuning": None,
    }
    return Downstream.model_validate(small | changes)


def waves() -> Snapshots:
    """Waves whose direction is the beam and the place, in sight where they come from the right."""
    generator = np.random.default_rng(0)
    users, windows = 30, 4
    turns = np.repeat(generator.uniform(-0.5, 0.5, users), windows) + 0.01 * np.tile(np.arange(windows), users)
    antenna, subcarrier = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    phase = turns[:, None, None] * antenna + generator.uniform(0, 1, (len(turns), 1, 1)) * (1 + 0.1 * subcarrier)
    csi = torch.from_numpy(np.exp(2j * np.pi * phase)).to(torch.complex64)
    user, window = np.divmod(np.arange(users * windows), windows)
    split = np.digitize(user, [20, 25])
    return Snapshots(
        csi,
        turns > 0,
        np.floor(16 * (turns % 1)).astype(int),
        np.stack([100 * turns, 0 * turns], axis=1),
        np.stack([0 * user, user, window], axis=1),
        {name: np.flatnonzero(split == code) for code, name in enumerate(("train", "validation", "test"))},
    )


def subspace_channels(count=120, antennas=8, subcarriers=8, dimensions=6, seed=0) -> torch.Tensor:
    """Channels of random coefficients in a fixed real linear space, so that pilots tell the rest."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(dimensions, antennas * subcarriers, dtype=torch.complex64, generator=generator)
    coefficients = torch.randn(count, dimensions, dtype=torch.complex64, generator=generator)
    return (coefficients @ basis).unflatten(1, (antennas, subcarriers))


def snapshots_of(csi: torch.Tensor, windows: int = 4) -> Snapshots:
    """Users of `windows` windows each; three fifths of them to learn from, then validation, then test."""
    count = len(csi)
    user, window = np.divmod(np.arange(count), windows)
    split = np.minimum(user * 5 * windows // count, 4)
    codes = {"train": [0, 1, 2], "validation": [3], "test": [4]}
    rows = {name: np.flatnonzero(np.isin(split, some)) for name, some in codes.items()}
    beam = (3 * user + window) % 8
    place = np.random.default_rng(0).normal(size=(count, 2))
    return Snapshots(csi, place[:, 0] > 0, beam, place, np.stack([0 * user, user, window], axis=1), rows)
