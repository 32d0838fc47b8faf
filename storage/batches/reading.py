"""Samples out of shards into batches, by threads that work ahead of the training."""

import itertools
import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import zarr

from storage.batches.buffers import BufferPool
from storage.batches.epochs import Epoch
from storage.stores.shards import ShardReader, StoredArray

# One thread copies and checks nearly as fast as memory allows; the second hides the waiting for a disk.
READERS = 2


class StoredSplit:
    """The samples of one split of one store: `rows`, ascending, are items `first`, `first` + 1, ... of a data set."""

    def __init__(self, path: Path, array: zarr.Array, rows: np.ndarray, first: int):
        self.array = StoredArray.of(path, array)
        self.rows = rows
        self.first = first

    @cached_property
    def shards(self) -> np.ndarray:
        """The shard of each item, ascending."""
        return self.rows // self.array.shard

    @property
    def nbytes(self) -> int:
        return len(self.rows) * self.array.sample_bytes

    def of_shard(self, shard: int) -> slice:
        """The items of a shard, counted from `first`."""
        return slice(*np.searchsorted(self.shards, [shard, shard + 1]).tolist())


def read_items(stored: StoredSplit, items: np.ndarray) -> np.ndarray:
    """Items of one store, counted from its first, in the order asked for.

    Raises:
        StorageError: a shard is missing or damaged.
    """
    values = np.empty((len(items), *stored.array.shape[1:]), stored.array.dtype)
    order = np.argsort(items, kind="stable")
    rows = stored.rows[items[order]]
    bounds = np.flatnonzero(np.diff(rows // stored.array.shard, prepend=-1, append=-1))
    with ThreadPoolExecutor(READERS) as pool:
        reads = []
        for start, stop in itertools.pairwise(bounds.tolist()):
            targets = [values[slot] for slot in order[start:stop]]
            reads.append(pool.submit(_copy_samples, stored.array, rows[start:stop], targets))
        for read in reads:
            read.result()
    return values


class EpochReader:
    """The batches of the stores of an epoch that are not held, from batch `start` on.

    Rows go from the shard straight to their batch. There are never more than the batches of two windows: those of the
    next one are read while this one is served.
    """

    def __init__(self, stores: list[StoredSplit], epoch: Epoch, key: tuple, start: int, memory: BufferPool):
        self._stores, self._epoch, self._key, self._memory = stores, epoch, key, memory
        self._process = os.getpid()
        worker = torch.utils.data.get_worker_info()
        # A worker of a DataLoader is asked for every n-th batch.
        wanted = range(start, len(epoch.batches), worker.num_workers if worker else 1)
        self._numbers = [number for number in wanted if epoch.batches[number].window >= 0]
        # The batches of a store differ by one item and use the same memory in turn.
        self._capacities = [0] * len(stores)
        for batch in epoch.batches:
            self._capacities[batch.store] = max(self._capacities[batch.store], len(batch.items))
        self._served = 0
        self._places = self._place_items()
        self._pool = ThreadPoolExecutor(READERS)
        self._batches: dict[int, np.ndarray] = {}
        self._reads: list[list[Future]] = []

    def expects(self, key: tuple, number: int) -> bool:
        """Whether that batch comes next; threads do not survive in a forked process."""
        here = self._key == key and self._process == os.getpid()
        return here and self._served < len(self._numbers) and self._numbers[self._served] == number

    def take(self, number: int) -> np.ndarray:
        """The next batch.

        Raises:
            StorageError: a shard is missing or damaged.
        """
        window = self._epoch.batches[number].window
        while len(self._reads) < min(window + 2, len(self._epoch.windows)):
            self._reads.append([self._start(*place) for place in self._epoch.windows[len(self._reads)]])
        for reads in self._reads[: window + 1]:
            while reads:
                reads[0].result()
                reads.pop(0)
        self._served += 1
        return self._batches.pop(number)

    def close(self) -> None:
        if self._process == os.getpid():
            self._pool.shutdown(cancel_futures=True)

    def _place_items(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For every item of every store, the wanted batch it goes to (-1: none) and its place there."""
        places = [(np.full(len(stored.rows), -1), np.zeros(len(stored.rows), int)) for stored in self._stores]
        for number in self._numbers:
            batch = self._epoch.batches[number]
            items = batch.items - self._stores[batch.store].first
            batches, slots = places[batch.store]
            batches[items] = number
            slots[items] = np.arange(len(items))
        return places

    def _start(self, store: int, shard: int) -> Future:
        stored = self._stores[store]
        items = stored.of_shard(shard)
        batches, slots = (places[items] for places in self._places[store])
        wanted = np.flatnonzero(batches >= 0)
        targets = [
            self._room(number)[slot]
            for number, slot in zip(batches[wanted].tolist(), slots[wanted].tolist(), strict=True)
        ]
        return self._pool.submit(_copy_samples, stored.array, stored.rows[items][wanted], targets)

    def _room(self, number: int) -> np.ndarray:
        if number not in self._batches:
            batch = self._epoch.batches[number]
            array = self._stores[batch.store].array
            self._batches[number] = self._memory.array(
                self._capacities[batch.store], (len(batch.items), *array.shape[1:]), array.dtype
            )
        return self._batches[number]


def _copy_samples(array: StoredArray, rows: np.ndarray, targets: list[np.ndarray]) -> None:
    """Copy samples of one shard, ascending, each to its target; chunks without any of them are not read."""
    if not len(rows):
        return
    shard = int(rows[0]) // array.shard
    chunks, places = np.divmod(rows - shard * array.shard, array.chunk)
    buffer = array.buffer()
    # No chunk has this number: the first one is read.
    current, samples = -1, buffer
    with ShardReader(array, shard) as reader:
        for chunk, place, target in zip(chunks.tolist(), places.tolist(), targets, strict=True):
            if chunk != current:
                current, samples = chunk, reader.read(chunk, buffer)
            target[...] = samples[place]
