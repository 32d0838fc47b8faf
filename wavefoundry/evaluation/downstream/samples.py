"""Which samples belong together: the same user in two data sets, the past of a window, the labels a head may see."""

from typing import TYPE_CHECKING

import numpy as np

from wavefoundry.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

KEYS = ("base_station", "trajectory", "window")
SAME_PLACE = 1e-3  # [m]


def pair_samples(first: "xr.Dataset", second: "xr.Dataset") -> tuple[np.ndarray, np.ndarray]:
    """Rows of the samples that two data sets share: the same window of the same user, seen from the same base station.

    Data sets of one site leave out windows that no path reaches, each its own, so that their rows do not correspond.

    Args:
        first, second: with the variables base_station, trajectory, window (sample,) and position (sample, time, xyz).

    Returns:
        rows of `first`, in their order, and of `second`, both (pair,).

    Raises:
        InputError: a variable is missing, no sample is shared, or users of the same name are at other positions.
    """
    keys = [_keys(dataset) for dataset in (first, second)]
    row_of = {tuple(key): row for row, key in enumerate(keys[1].tolist())}
    pairs = [(row, row_of[tuple(key)]) for row, key in enumerate(keys[0].tolist()) if tuple(key) in row_of]
    if not pairs:
        raise InputError("the two data sets share no sample: no (base_station, trajectory, window) is in both")
    rows, other_rows = (np.array(side) for side in zip(*pairs, strict=True))
    places = first["position"].values[rows, 0], second["position"].values[other_rows, 0]
    distance = np.linalg.norm(places[0] - places[1], axis=-1).max()
    if distance > SAME_PLACE:
        raise InputError(
            f"the two data sets do not share a site: samples of the same (base_station, trajectory, window) are up to "
            f"{distance:.3g} m apart"
        )
    return rows, other_rows


def _keys(dataset: "xr.Dataset") -> np.ndarray:
    missing = [name for name in (*KEYS, "position") if name not in dataset]
    if missing:
        raise InputError(f"variable {missing[0]!r} is missing; pairs of samples are found by {', '.join(KEYS)}")
    return np.stack([dataset[name].values for name in KEYS], axis=1)


def past_windows(keys: np.ndarray, past: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of which the `past` windows before are there too.

    Args:
        keys: int (sample, 3): base station, trajectory, window.
        past: number of windows before.

    Returns:
        rows of the past (sequence, past), oldest first, and of the windows that follow (sequence,).

    Raises:
        InputError: no sequence is that long.
    """
    row_of = {tuple(key): row for row, key in enumerate(keys.tolist())}
    found = []
    for row, (station, user, window) in enumerate(keys.tolist()):
        before = [row_of.get((station, user, window - step)) for step in range(past, 0, -1)]
        if None not in before:
            found.append((before, row))
    if not found:
        raise InputError(f"past is {past}, but no user has {past + 1} windows in a row")
    histories, next_rows = zip(*found, strict=True)
    return np.array(histories), np.array(next_rows)


def labelled_subset(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """The labels that a head may see: a larger fraction of the same seed holds every smaller one.

    Args:
        rows: of the training split.
        fraction: share of them, 0 < fraction <= 1; at least one is drawn.
        seed: of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(rows)
    return drawn[: max(1, round(fraction * len(rows)))]
