"""The order of an epoch: which items make which batch, and which shards are read when. A function of (seed, epoch).

Stores that fit in memory together are held; their batches are spread over the whole epoch. Of larger ones the shards
are shuffled, each store's evenly over the epoch, and grouped into windows that fit in memory; samples are shuffled
within their window. So every shard is read once, and a batch draws from all shards of its window.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StoreItems:
    """The items of one store: consecutive numbers, and the shard each lies in (None: the store is held)."""

    first: int
    count: int
    shards: np.ndarray | None
    item_bytes: int


@dataclass(frozen=True)
class Batch:
    """One batch of the epoch: the store its items come from, and the last window that has some of them."""

    store: int
    items: np.ndarray
    window: int


@dataclass(frozen=True)
class Epoch:
    """`batches` in the order they are served; `windows[w]` lists (store, shard) in the order they are read."""

    batches: list[Batch]
    windows: list[list[tuple[int, int]]]


def plan_epoch(stores: list[StoreItems], batch_size: int, window_bytes: int, seed: int, epoch: int) -> Epoch:
    """Every item once, in shuffled batches that never mix stores.

    A store has as many batches as ceil(items / batch_size), and they differ in size by at most one item, so that no
    step is taken on a small remainder.
    """
    generator = np.random.default_rng([seed, epoch])
    windows = _draw_windows(stores, window_bytes, generator)
    batches, keys = [], []
    for number, store in enumerate(stores):
        if store.shards is None:
            order = store.first + generator.permutation(store.count)
            last = None
        else:
            order, ends = _order_by_windows(number, store, store.shards, windows, generator)
            last = np.searchsorted(ends, np.arange(store.count), side="right")
        stop = 0
        for items in np.array_split(order, -(-store.count // batch_size)):
            stop += len(items)
            if last is None:
                batches.append(Batch(number, items, -1))
                keys.append(generator.random() * max(1, len(windows)))
            else:
                # A batch can be served in the window of its last item.
                window = int(last[stop - 1])
                batches.append(Batch(number, items, window))
                keys.append(window + generator.random())
    return Epoch([batches[position] for position in np.argsort(keys, kind="stable")], windows)


def _draw_windows(stores: list[StoreItems], window_bytes: int, generator) -> list[list[tuple[int, int]]]:
    drawn = []
    for number, store in enumerate(stores):
        if store.shards is None:
            continue
        shards, counts = np.unique(store.shards, return_counts=True)
        for rank, position in enumerate(generator.permutation(len(shards))):
            place = (rank + generator.random()) / len(shards)
            drawn.append((place, number, int(shards[position]), int(counts[position]) * store.item_bytes))
    windows: list[list[tuple[int, int]]] = []
    room = 0
    for _, number, shard, size in sorted(drawn):
        if not windows or size > room:
            windows.append([])
            room = window_bytes
        windows[-1].append((number, shard))
        room -= size
    return windows


def _order_by_windows(
    number: int, store: StoreItems, item_shards: np.ndarray, windows, generator
) -> tuple[np.ndarray, np.ndarray]:
    """Items of one store in shuffled windows, and the number of items up to the end of each window."""
    window_of = {shard: w for w, window in enumerate(windows) for owner, shard in window if owner == number}
    shards, inverse = np.unique(item_shards, return_inverse=True)
    item_windows = np.array([window_of[shard] for shard in shards.tolist()])[inverse]
    shuffled = generator.permutation(store.count)
    order = shuffled[np.argsort(item_windows[shuffled], kind="stable")]
    ends = np.cumsum(np.bincount(item_windows, minlength=len(windows)))
    return store.first + order, ends
