"""Every sample once per epoch, in an order that (seed, epoch) alone decides, each shard read once, memory bounded."""

import functools
import itertools
import operator
import pickle
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr
from accelerate import skip_first_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from storage.batches import batches, reading
from storage.batches.batches import CSIBatches, OneStoreBatchSampler
from storage.batches.epochs import StoreItems, plan_epoch
from storage.errors import StorageError
from storage.stores.csi_store import split_attributes, write_store
from storage.stores.schema import SPLITS
from storage.stores.shards import StoredArray
from tests.storage.example import small_shards

SHAPES = {"csi": [(4, 6, 8), (4, 6, 12)], "angle_delay": [(3, 5, 2), (2, 5, 2)]}
SAMPLES = (47, 31)


def store(path, kind, samples, shape, number):
    """Every entry of sample i of store n is n + i j; splits go round by trajectories of one sample."""
    axes = ("antenna", "subcarrier") if kind == "csi" else ("angle", "delay")
    values = np.broadcast_to((number + 1j * np.arange(samples))[:, None, None, None], (samples, *shape))
    about = {"units": "1", "long_name": "test"}
    dataset = xr.Dataset(
        {
            "csi": (("sample", "time", *axes), values.astype(np.complex64), about),
            "trajectory": ("sample", np.arange(samples), about),
            "split": ("sample", (np.arange(samples) % 3).astype(np.int8), split_attributes()),
            "scale": ("sample", np.ones(samples), about),
            "energy_kept": ("sample", np.ones(samples), about),
        }
    )
    sample_bytes = 8 * int(np.prod(shape))
    with small_shards(2 * sample_bytes, 4 * sample_bytes):
        write_store(path, dataset, kind)
    return path


@pytest.fixture(scope="module", params=["csi", "angle_delay"])
def stores(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    paths = [
        store(folder / f"{number}.zarr", request.param, samples, shape, number)
        for number, (samples, shape) in enumerate(zip(SAMPLES, SHAPES[request.param], strict=True))
    ]
    return request.param, paths


@pytest.fixture(scope="module")
def one_store(tmp_path_factory):
    return store(tmp_path_factory.mktemp("one") / "a.zarr", "csi", 200, (4, 6, 8), 0)


@pytest.fixture
def streaming(monkeypatch):
    """Nothing is held, and a window has room for few shards."""
    monkeypatch.setattr(batches, "HELD_BYTES", 0)
    monkeypatch.setattr(batches, "WINDOW_BYTES", 12 * 8 * 4 * 6 * 8)


@pytest.fixture
def shards_read(monkeypatch):
    """(store, shard) of every shard file that is opened, in turn."""
    read = []

    class Counted(reading.ShardReader):
        def __init__(self, array: StoredArray, shard: int):
            read.append((array.store.name, shard))
            super().__init__(array, shard)

    monkeypatch.setattr(reading, "ShardReader", Counted)
    return read


def samples_of(batch):
    return [(int(number.real), int(number.imag)) for number in batch["csi"][:, 0, 0, 0]]


def loader(dataset, batch_size=4, seed=0, epoch=0, **options):
    sampler = dataset.batch_sampler(batch_size, seed)
    sampler.set_epoch(epoch)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=lambda batch: batch, **options)


def epoch_of(dataset, **options):
    return [samples_of(batch) for batch in loader(dataset, **options)]


@pytest.mark.parametrize("split", SPLITS)
# Both streamed, the smaller held, both held.
@pytest.mark.parametrize("held_bytes", [0, 22 * 8 * 4 * 6 * 8, 2**20])
def test_an_epoch_shows_every_sample_of_the_split_once_and_none_of_another(
    stores, split, held_bytes, streaming, monkeypatch
):
    monkeypatch.setattr(batches, "HELD_BYTES", held_bytes)
    kind, paths = stores
    dataset = CSIBatches(paths, kind, split)
    seen = []
    for batch in loader(dataset):
        csi = batch["csi"]
        assert csi.dtype == torch.complex64
        number = int(csi.real[0, 0, 0, 0])
        assert csi.shape[1:] == SHAPES[kind][number]
        # One store per batch, and the whole sample is the right one.
        assert (csi == csi[:, :1, :1, :1]).all() and (csi.real == number).all()
        seen += samples_of(batch)
    expected = [(n, row) for n, size in enumerate(SAMPLES) for row in range(size) if row % 3 == SPLITS.index(split)]
    assert sorted(seen) == expected and len(dataset) == len(expected)


def test_items_are_batches_of_one(stores, streaming):
    kind, paths = stores
    dataset = CSIBatches(paths, kind, "train")
    for index in (0, 20, len(dataset) - 1):
        assert torch.equal(dataset[index]["csi"], dataset.__getitems__([index])["csi"][0])
    backwards = dataset.__getitems__([9, 3, 4, 0])["csi"][:, 0, 0, 0]
    assert backwards.imag.tolist() == [27, 9, 12, 0]


def test_every_shard_is_read_once_per_epoch(stores, streaming, shards_read):
    kind, paths = stores
    dataset = CSIBatches(paths, kind, "train")
    for epoch in range(3):
        shards_read.clear()
        epoch_of(dataset, epoch=epoch)
        expected = [(f"{n}.zarr", shard) for n, size in enumerate(SAMPLES) for shard in range(-(-size // 4))]
        assert sorted(shards_read) == expected


def test_held_stores_are_read_once_for_all_epochs(stores, shards_read):
    kind, paths = stores
    dataset = CSIBatches(paths, kind, "train")
    for epoch in range(2):
        epoch_of(dataset, epoch=epoch)
    assert len(shards_read) == len(set(shards_read)) == sum(-(-size // 4) for size in SAMPLES)


@pytest.mark.parametrize("readers", [1, 4])
def test_the_order_is_that_of_the_plan_whatever_the_number_of_threads_and_workers(
    stores, streaming, readers, monkeypatch
):
    kind, paths = stores
    order = epoch_of(CSIBatches(paths, kind, "train"), seed=5, epoch=3)
    monkeypatch.setattr(reading, "READERS", readers)
    dataset = CSIBatches(paths, kind, "train")
    # In mid-epoch when the workers start: threads do not come along.
    next(iter(loader(dataset, seed=5, epoch=2)))
    assert epoch_of(dataset, seed=5, epoch=3, num_workers=2) == order
    assert epoch_of(dataset, seed=5, epoch=3) == order
    assert epoch_of(pickle.loads(pickle.dumps(dataset)), seed=5, epoch=3) == order
    assert epoch_of(dataset, seed=5, epoch=4) != order
    assert epoch_of(dataset, seed=6, epoch=3) != order


@given(start=st.integers(0, 52), workers=st.sampled_from([0, 0, 0, 2]))
@settings(max_examples=12, deadline=None)
def test_an_epoch_resumed_at_any_batch_gives_the_rest_of_the_unbroken_one(one_store, start, workers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "HELD_BYTES", 0)
        patch.setattr(batches, "WINDOW_BYTES", 16 * 8 * 4 * 6 * 8)
        unbroken = epoch_of(CSIBatches([one_store], "csi", "train"), batch_size=2, epoch=1)
        options = {"batch_size": 2, "epoch": 1, "num_workers": workers}
        resumed = skip_first_batches(loader(CSIBatches([one_store], "csi", "train"), **options), start)
        assert [samples_of(batch) for batch in resumed] == unbroken[start:]


def test_a_resumed_epoch_does_not_read_shards_that_only_earlier_batches_need(one_store, streaming, shards_read):
    whole = epoch_of(CSIBatches([one_store], "csi", "train"), batch_size=2)
    start = len(whole) // 2
    shards_read.clear()
    resumed = skip_first_batches(loader(CSIBatches([one_store], "csi", "train"), batch_size=2), start)
    assert [samples_of(batch) for batch in resumed] == whole[start:]
    needed = {row // 4 for batch in whole[start:] for _, row in batch}
    assert sorted(shard for _, shard in shards_read) == sorted(needed)
    assert len(needed) < 40


@pytest.mark.parametrize("prepared", [True, False])
def test_a_training_resumed_in_mid_epoch_sees_the_batches_of_the_unbroken_one(one_store, streaming, tmp_path, prepared):
    seen: list = []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, csi):
            seen.append(csi.imag[:, 0, 0, 0].int().tolist())
            return {"loss": self.weight.sum()}

    class Loading(Trainer):
        def get_train_dataloader(self):
            own = loader(self.train_dataset, seed=self.args.seed)
            # A loader that accelerate has not prepared is told the epoch by a callback.
            return self.accelerator.prepare(own) if prepared else own

    class Epochs(TrainerCallback):
        def on_epoch_begin(self, args, state, control, *, train_dataloader, **context):
            train_dataloader.batch_sampler.set_epoch(int(state.epoch or 0))

    def train(resume=None):
        seen.clear()
        arguments = TrainingArguments(
            str(tmp_path), max_steps=30, save_steps=25, report_to="none", seed=0, disable_tqdm=True, use_cpu=True
        )
        Loading(
            model=Model(),
            args=arguments,
            train_dataset=CSIBatches([one_store], "csi", "train"),
            callbacks=[] if prepared else [Epochs()],
        ).train(resume_from_checkpoint=resume)
        return list(seen)

    # 17 batches an epoch: step 25 lies in the second one.
    unbroken = train()
    assert sorted(itertools.chain(*unbroken[:17])) == list(range(0, 200, 3)) and unbroken[17:] != unbroken[:13]
    assert train(str(tmp_path / "checkpoint-25")) == unbroken[25:]


def test_batches_of_stores_of_all_sizes_are_mixed_over_the_epoch(tmp_path, monkeypatch):
    paths = [store(tmp_path / f"{n}.zarr", "csi", samples, (4, 6, 8), n) for n, samples in enumerate((400, 200, 30))]
    # The smallest is held, the others streamed, 6 to 9 of their 150 shards in a window.
    monkeypatch.setattr(batches, "HELD_BYTES", 10 * 8 * 4 * 6 * 8)
    monkeypatch.setattr(batches, "WINDOW_BYTES", 12 * 8 * 4 * 6 * 8)
    order = epoch_of(CSIBatches(paths, "csi", "train"), batch_size=2)
    places = [[place for place, batch in enumerate(order) if batch[0][0] == n] for n in range(3)]
    for each in places:
        # Mean place of a store's batches: the middle of the epoch, within 4 standard deviations of random places.
        assert abs(np.mean(each) / len(order) - 0.5) < 4 / np.sqrt(12 * len(each))
    for each in places[:2]:
        assert np.diff(each).max() < len(order) / 8
    # A batch draws from several shards, and neighbours in the store come far apart.
    assert np.mean([len({row // 4 for _, row in batch}) for batch in order]) > 1.8


def test_memory_does_not_grow_with_the_store(tmp_path, monkeypatch):
    shape, count = (4, 64, 64), 600
    sample_bytes = 8 * int(np.prod(shape))
    path = tmp_path / "a.zarr"
    about = {"units": "1", "long_name": "test"}
    dataset = xr.Dataset(
        {
            "csi": (("sample", "time", "antenna", "subcarrier"), np.zeros((count, *shape), np.complex64), about),
            "trajectory": ("sample", np.arange(count), about),
            "split": ("sample", np.zeros(count, np.int8), split_attributes()),
        }
    )
    with small_shards(2 * sample_bytes, 4 * sample_bytes):
        write_store(path, dataset, "csi")
    del dataset
    monkeypatch.setattr(batches, "HELD_BYTES", 0)
    monkeypatch.setattr(batches, "WINDOW_BYTES", 32 * sample_bytes)
    batch_size = 8
    tracemalloc.start()
    dataset = CSIBatches([path], "csi", "train")
    for epoch in range(2):
        for _ in loader(dataset, batch_size, epoch=epoch):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Two windows, an unfinished batch, the batch in use and its successor, two read buffers; the store is 19 windows.
    assert peak < 2 * 32 * sample_bytes + 4 * batch_size * sample_bytes + 8 * sample_bytes


def test_memory_is_used_again_only_when_nobody_holds_it(one_store, streaming):
    dataset = CSIBatches([one_store], "csi", "train")
    kept, copies, memory = [], [], set()
    for epoch in range(4):
        for number, batch in enumerate(loader(dataset, epoch=epoch)):
            memory.add(batch["csi"].data_ptr())
            if number % 5 == 0:
                # A view, a numpy array and the tensor itself keep it alive.
                kept.append([batch["csi"][1:], batch["csi"].numpy()[1:], batch["csi"]][epoch % 3])
                copies.append(np.array(kept[-1]))
    assert len(memory) < 40 < 4 * 17
    for view, copy in zip(kept, copies, strict=True):
        assert np.array_equal(np.asarray(view), copy)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    held=st.lists(st.booleans(), min_size=3, max_size=3),
    batch_size=st.integers(1, 16),
    window=st.integers(1, 60),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 50),
)
@settings(max_examples=60, deadline=None)
def test_an_epoch_partitions_the_items_into_even_batches_of_one_store(sizes, held, batch_size, window, seed, epoch):
    firsts = [0, *itertools.accumulate(sizes)]
    items = [
        StoreItems(first, size, None if keep else np.arange(size) // 3, 1)
        for first, size, keep in zip(firsts, sizes, held, strict=False)
    ]
    plan = plan_epoch(items, batch_size, window, seed, epoch)
    drawn = [batch.items.tolist() for batch in plan.batches]
    assert sorted(functools.reduce(operator.iadd, drawn, [])) == list(range(sum(sizes)))
    sampler = OneStoreBatchSampler(items, batch_size, seed)
    assert len(drawn) == len(sampler) == sum(-(-size // batch_size) for size in sizes)
    for number, (first, size) in enumerate(zip(firsts, sizes, strict=False)):
        mine = [batch for batch in plan.batches if batch.store == number]
        lengths = [len(batch.items) for batch in mine]
        assert max(lengths) <= batch_size and max(lengths) - min(lengths) <= 1
        assert all(((batch.items >= first) & (batch.items < first + size)).all() for batch in mine)
    # Streamed batches come in the order of their windows; no window is larger than asked unless it is one shard.
    streamed = [batch.window for batch in plan.batches if batch.window >= 0]
    assert streamed == sorted(streamed)
    for shards in plan.windows:
        content = sum(int((items[store].shards == shard).sum()) for store, shard in shards)
        assert content <= window or len(shards) == 1
    for batch in plan.batches:
        if batch.window >= 0:
            window_of = {place: w for w, places in enumerate(plan.windows) for place in places}
            local = batch.items - items[batch.store].first
            assert batch.window == max(window_of[batch.store, int(s)] for s in items[batch.store].shards[local])


def test_a_batch_over_two_stores_is_refused(stores):
    kind, paths = stores
    dataset = CSIBatches(paths, kind, "train")
    with pytest.raises(ValueError, match="one store"):
        dataset.__getitems__([0, len(dataset) - 1])


def test_faults_of_stores_are_clear_errors(tmp_path):
    with pytest.raises(StorageError, match="no csi store there"):
        CSIBatches([tmp_path / "none.zarr"], "csi", "train")
    path = store(tmp_path / "two.zarr", "csi", 2, (4, 4, 4), 0)
    with pytest.raises(StorageError, match="no sample in split 'test'"):
        CSIBatches([path], "csi", "test")


def test_damaged_splits_are_one_clear_error(one_store, tmp_path):
    path = tmp_path / "a.zarr"
    shutil.copytree(one_store, path)
    shard = path / "split/c/0"
    content = shard.read_bytes()
    shard.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(StorageError, match=r"a\.zarr: variable 'split' is damaged or cut short") as refusal:
        CSIBatches([path], "csi", "train")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("held_bytes", [0, 2**30])
@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_a_damaged_shard_ends_the_epoch_with_its_name_and_samples(one_store, tmp_path, monkeypatch, damage, held_bytes):
    path = tmp_path / "a.zarr"
    shutil.copytree(one_store, path)
    monkeypatch.setattr(batches, "HELD_BYTES", held_bytes)
    shard = path / "csi/c/3/0/0/0"
    content = bytearray(shard.read_bytes())

    def harm():
        if damage == "cut":
            shard.write_bytes(content[:50])
        elif damage == "flip":
            shard.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        else:
            shard.unlink(missing_ok=True)

    def read():
        dataset = CSIBatches([path], "csi", "train")
        harm()
        epoch_of(dataset)

    if held_bytes:
        harm()
    if held_bytes and damage != "flip":
        fault = "is missing" if damage == "missing" else f"has 50 bytes, expected {len(content)}"
        with pytest.raises(StorageError, match=rf"a\.zarr: csi/c/3/0/0/0 {fault}"):
            read()
    else:
        lost = "13" if damage == "flip" else "15"
        with pytest.raises(StorageError, match=rf"a\.zarr: csi/c/3/0/0/0: .*; samples 12 to {lost} lost"):
            read()
