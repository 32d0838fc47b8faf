"""Which samples a store holds already, so that nothing is appended to it twice."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from storage.errors import StorageError
from storage.stores.schema import KINDS

# What may be numbered or divided otherwise where the same samples come a second time.
NOT_COMPARED = ("trajectory", "split")
# Samples whose main variable is read at once.
BLOCK = 256


class KnownSamples:
    """The samples of an opened store, told apart by what they hold.

    Small variables (position, speed, ...) are read at once and tell most samples apart; the main variable is read of
    those samples alone whose small variables are the same as a new one's. A sample of nothing but zeros, as of a user
    that no signal reaches, is never taken for another.

    Args:
        store: its folder.
        dataset: the store, opened.
        kind: of the store.
        read: reads a variable of the store, or of a selection of its samples.
    """

    def __init__(self, store: Path, dataset: xr.Dataset, kind: str, read: Callable[[xr.Dataset, str], np.ndarray]):
        self._store, self._dataset, self._main, self._read = store, dataset, KINDS[kind][0], read
        self._samples: dict[bytes, list[int]] = defaultdict(list)
        self._small = sorted(str(name) for name in dataset.variables if self._is_small(str(name)))
        values = [read(dataset, name) for name in self._small]
        for sample, key in enumerate(_digests(values, dataset.sizes["sample"])):
            self._samples[key].append(sample)
        self._digests: dict[int, bytes] = {}

    def refuse(self, block: xr.Dataset, first: int) -> None:
        """
        Args:
            block: new samples, in memory.
            first: place of the first of them among all new ones.

        Raises:
            StorageError: the store holds one of them already.
        """
        keys = _digests([block[name].values for name in self._small], block.sizes["sample"])
        candidates = sorted({sample for key in keys for sample in self._samples.get(key, ())} - self._digests.keys())
        for start in range(0, len(candidates), BLOCK):
            chosen = candidates[start : start + BLOCK]
            values = self._read(self._dataset.isel(sample=chosen), self._main)
            self._digests.update(zip(chosen, _digests([values], len(chosen)), strict=True))
        values = block[self._main].values
        silent = ~np.any(values.reshape(len(values), -1) != 0, axis=1)
        repeated = [
            (first + place, sample)
            for place, (key, digest) in enumerate(zip(keys, _digests([values], len(values)), strict=True))
            for sample in self._samples.get(key, ())
            if not silent[place] and self._digests[sample] == digest
        ]
        if repeated:
            more = f", and so on ({len(repeated)} in all)" if repeated[1:] else ""
            new, old = repeated[0]
            raise StorageError(
                f"{self._store}: new sample {new} is the same as sample {old} of the store{more}: "
                "append those alone that it does not hold"
            )

    def _is_small(self, name: str) -> bool:
        variable = self._dataset.variables[name]
        return "sample" in variable.dims and name not in (self._main, *NOT_COMPARED) and variable.dtype.kind != "c"


def _digests(values: list[np.ndarray], samples: int) -> list[bytes]:
    """A digest of each sample over several variables."""
    digests = [hashlib.blake2b(digest_size=16) for _ in range(samples)]
    for variable in values:
        variable = np.ascontiguousarray(variable)
        for digest, sample in zip(digests, variable, strict=True):
            digest.update(np.asarray(sample).tobytes())
    return [digest.digest() for digest in digests]
