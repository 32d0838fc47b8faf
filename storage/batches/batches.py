"""Torch batches straight from the stores: shuffled, each shard read once per epoch, ahead of the training."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
import zarr

from storage.batches.buffers import BufferPool
from storage.batches.epochs import Epoch, StoreItems, plan_epoch
from storage.batches.reading import EpochReader, StoredSplit, read_items
from storage.errors import StorageError
from storage.stores.csi_store import open_store, split_indices

# Memory, whatever the size of the stores: the smallest of them are held up to HELD_BYTES; of the others there are the
# window that is served and the one that is read ahead, with one unfinished batch a store.
HELD_BYTES = 2**30
WINDOW_BYTES = 2**28


class CSIBatches(torch.utils.data.Dataset):
    """Map-style data set over one split of several stores of one kind, for a DataLoader with `batch_sampler`.

    Item i is {"csi": complex64 tensor}, (time, antenna, subcarrier) for kind "csi" and (time, angle, delay) for kind
    "angle_delay"; `__getitems__` puts a batch axis in front. Stores may differ in shape.

    The batches of `batch_sampler` know their place in the epoch, so that the data set reads ahead in threads of its
    own, from whatever batch is asked for first: `accelerate.skip_first_batches` resumes in mid-epoch, and shards that
    only earlier batches needed are not read. Workers of a DataLoader give the same batches, but each of them reads the
    shards for itself: leave `num_workers` at 0.

    Raises:
        StorageError: a store is missing, damaged or of another kind, or none of them has samples in the split.
    """

    def __init__(self, paths: list[Path], kind: str, split: str):
        self._splits: list[StoredSplit] = []
        first = 0
        for path in map(Path, paths):
            rows = split_indices(open_store(path, kind), split)
            if len(rows):
                array = cast(zarr.Array, zarr.open_group(path, mode="r", use_consolidated=False)["csi"])
                self._splits.append(StoredSplit(path, array, rows, first))
                first += len(rows)
        if not first:
            raise StorageError(f"{', '.join(map(str, paths))}: no sample in split {split!r}")
        self._firsts = np.array([stored.first for stored in self._splits])
        self._held = self._hold_small_stores()
        self._memory = BufferPool(2 * WINDOW_BYTES)
        self._reader: EpochReader | None = None

    def __len__(self) -> int:
        return self._splits[-1].first + len(self._splits[-1].rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: batch[0] for name, batch in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Read one batch; all indices must lie in one store, as those of `batch_sampler` do."""
        stores = np.searchsorted(self._firsts, indices, side="right") - 1
        store = int(stores[0])
        if (stores != store).any():
            raise ValueError("a batch must come from one store: take its indices from batch_sampler")
        if store in self._held:
            batch = self._held[store][np.asarray(indices) - self._firsts[store]]
        elif isinstance(indices, PlacedBatch):
            batch = self._read_ahead(indices)
        else:
            batch = read_items(self._splits[store], np.asarray(indices) - self._firsts[store])
        return {"csi": torch.from_numpy(batch)}

    def __getstate__(self) -> dict:
        # Threads stay in the process that started them.
        return self.__dict__ | {"_reader": None, "_memory": BufferPool(2 * WINDOW_BYTES)}

    def batch_sampler(self, batch_size: int, seed: int) -> "OneStoreBatchSampler":
        """Shuffled batches of at most `batch_size` items."""
        items = [
            StoreItems(
                stored.first,
                len(stored.rows),
                None if store in self._held else stored.shards,
                stored.array.sample_bytes,
            )
            for store, stored in enumerate(self._splits)
        ]
        return OneStoreBatchSampler(items, batch_size, seed)

    def _hold_small_stores(self) -> dict[int, np.ndarray]:
        held, room = {}, HELD_BYTES
        for store in sorted(range(len(self._splits)), key=lambda store: self._splits[store].nbytes):
            stored = self._splits[store]
            room -= stored.nbytes
            if room < 0:
                break
            held[store] = read_items(stored, np.arange(len(stored.rows)))
        return held

    def _read_ahead(self, batch: "PlacedBatch") -> np.ndarray:
        if self._reader is None or not self._reader.expects(batch.epoch_key, batch.number):
            if self._reader:
                self._reader.close()
            epoch = self.batch_sampler(batch.epoch_key[0], batch.epoch_key[1]).plan(batch.epoch_key[2])
            self._reader = EpochReader(self._splits, epoch, batch.epoch_key, batch.number, self._memory)
        return self._reader.take(batch.number)


class PlacedBatch(list):
    """Indices of one batch, and its place: `number` in the epoch that `epoch_key` (batch size, seed, epoch) names."""

    def __init__(self, indices: list[int], epoch_key: tuple[int, int, int], number: int):
        super().__init__(indices)
        self.epoch_key, self.number = epoch_key, number

    def __reduce__(self):
        return PlacedBatch, (list(self), self.epoch_key, self.number)


class OneStoreBatchSampler(torch.utils.data.Sampler):
    """Every item once per epoch, in shuffled batches that never mix stores; a function of (seed, epoch) alone.

    The batches of a store differ in size by at most one item, so that no step is taken on a small remainder.
    """

    def __init__(self, stores: list[StoreItems], batch_size: int, seed: int):
        self._stores = stores
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def plan(self, epoch: int) -> Epoch:
        return plan_epoch(self._stores, self._batch_size, WINDOW_BYTES, self._seed, epoch)

    def __len__(self) -> int:
        return sum(-(-store.count // self._batch_size) for store in self._stores)

    def __iter__(self) -> Iterator[PlacedBatch]:
        epoch = self._epoch
        key = (self._batch_size, self._seed, epoch)
        for number, batch in enumerate(self.plan(epoch).batches):
            yield PlacedBatch(batch.items.tolist(), key, number)
