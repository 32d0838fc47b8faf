"""Which samples of a data set are scored, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.paths import csi_store
from wavefoundry.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

    Users = Mapping[str, "np.ndarray | None"]


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


@dataclass(frozen=True)
class Scored:
    """The samples that are scored of those that a data set has.

    csi: complex (sample, ...).
    users: what is known of them, see `users_of`.
    silent: how many were left out, for what is asked of them is zero throughout: no error is a share of nothing.
    """

    csi: "torch.Tensor"
    users: "Users"
    silent: int

    def silent_row(self) -> "list[dict]":
        """The row of the table of results that tells how many were left out; none where none were."""
        from wavefoundry.evaluation.results import SILENT

        number = self.silent + len(self.csi)
        return [{"metric": SILENT, "value": self.silent, "samples": number}] if self.silent else []


def with_power(csi: "torch.Tensor", users: "Users", silent: "torch.Tensor", what: str) -> Scored:
    """Samples without those that are silent, of which a line says how many there are.

    Args:
        csi: complex (sample, ...).
        users: what is known of them.
        silent: bool (sample,).
        what: the samples in words, for the line.

    Raises:
        InputError: all of them are silent.
    """
    number = int(silent.sum())
    if not number:
        return Scored(csi, users, 0)
    if number == len(csi):
        raise InputError(f"{what}: each of the {number} samples is zero throughout in what is asked for; none is left")
    numbers = users["sample"]
    assert numbers is not None
    first = numbers[silent.numpy()][0]
    print(
        f"{what}: {number} of {len(csi)} samples are left out of all scores, the first of them sample {first}: what is "
        "asked for is zero throughout, and has no NMSE"
    )
    heard = ~silent
    kept = {key: None if values is None else values[heard.numpy()] for key, values in users.items()}
    return Scored(csi[heard], kept, number)
