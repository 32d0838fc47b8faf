"""Torch batches straight from zarr: the samples of one split of several stores, read a whole batch at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import zarr

from storage.csi_store import clear_damage, open_store, require_read, split_indices
from storage.errors import StorageError

# Stores that take no more than this together are read once and held: a random batch costs a millisecond a sample.
HELD_BYTES = 2**30


class CSIBatches(torch.utils.data.Dataset):
    """Map-style data set over one split of several stores of one kind, for a DataLoader with `batch_sampler`.

    Item i is {"csi": complex64 tensor}, (time, antenna, subcarrier) for kind "csi" and (time, angle, delay) for kind
    "angle_delay"; `__getitems__` puts a batch axis in front. Stores may differ in shape.

    Raises:
        StorageError: a store is missing, damaged or of another kind, or none of them has samples in the split.
    """

    def __init__(self, paths: list[Path], kind: str, split: str):
        self._paths = [Path(path) for path in paths]
        self._arrays = []
        # Where item i lies: its store and its row there.
        self._stores, self._rows = [], []
        for position, path in enumerate(self._paths):
            rows = split_indices(open_store(path, kind), split)
            self._stores.append(np.full(len(rows), position))
            self._rows.append(rows)
            self._arrays.append(zarr.open_group(path, mode="r")["csi"])
        self._stores, self._rows = np.concatenate(self._stores), np.concatenate(self._rows)
        if sum(array.nbytes for array in self._arrays) <= HELD_BYTES:
            self._arrays = [self._read(store, array, ...) for store, array in enumerate(self._arrays)]
        if not len(self):
            raise StorageError(f"{', '.join(map(str, self._paths))}: no sample in split {split!r}")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: batch[0] for name, batch in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Read one batch; all indices must lie in one store, as those of `batch_sampler` do."""
        store = self._stores[indices[0]]
        if (self._stores[indices] != store).any():
            raise ValueError("a batch must come from one store: take its indices from batch_sampler")
        array, rows = self._arrays[store], self._rows[indices]
        return {
            "csi": torch.from_numpy(array[rows] if isinstance(array, np.ndarray) else self._read(store, array, rows))
        }

    def _read(self, store: int, array: zarr.Array, rows) -> np.ndarray:
        with clear_damage(self._paths[store], "csi"):
            return require_read(array.get_orthogonal_selection(rows))

    def batch_sampler(self, batch_size: int, seed: int) -> "OneStoreBatchSampler":
        """Shuffled batches of at most `batch_size` items."""
        return OneStoreBatchSampler(self._stores, batch_size, seed)


class OneStoreBatchSampler(torch.utils.data.Sampler):
    """Every item once per epoch, in shuffled batches that never mix stores; a function of (seed, epoch) alone.

    The batches of a store differ in size by at most one item, so that no step is taken on a small remainder.
    """

    def __init__(self, stores: np.ndarray, batch_size: int, seed: int):
        self._items = [np.flatnonzero(stores == store) for store in np.unique(stores)]
        self._counts = [-(-len(items) // batch_size) for items in self._items]
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return sum(self._counts)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self._seed, self._epoch])
        batches = []
        for items, count in zip(self._items, self._counts, strict=True):
            batches += np.array_split(generator.permutation(items), count)
        for position in generator.permutation(len(batches)):
            yield batches[position].tolist()
