"""Which samples of a data set are scored, and what is known of them."""

from typing import TYPE_CHECKING

from stages.paths import csi_store

if TYPE_CHECKING:
    import numpy as np


def spread_out(number: int, most: int) -> list[int]:
    """At most so many of the samples 0 ... number - 1, evenly spread: neighbours in a store may be of one user."""
    few = min(number, most)
    return [number * place // few for place in range(few)]


def users_of(dataset: str, split: str) -> dict[str, "np.ndarray | None"]:
    """What is known of samples: their numbers, and where known trajectory, base station, speed and sight."""
    from storage.stores.csi_store import open_store, split_indices

    store = open_store(csi_store(dataset), "csi")
    chosen = split_indices(store, split)
    known = {"trajectory": "trajectory", "base_station": "base_station", "speed": "speed", "line_of_sight": "los"}
    found = {name: store[variable].values[chosen] if variable in store else None for name, variable in known.items()}
    return {"sample": chosen} | found
