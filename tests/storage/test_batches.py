import functools
import operator

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import batches
from storage.batches import CSIBatches, OneStoreBatchSampler
from storage.csi_store import SPLITS, split_attributes, write_store
from storage.errors import StorageError

SHAPES = {"csi": [(4, 6, 8), (4, 6, 12)], "angle_delay": [(3, 5, 2), (2, 5, 2)]}
SAMPLES = (23, 17)


def store(path, kind, samples, shape, number):
    """Every entry of sample i of store n is n + i j; splits go round by trajectories of one sample."""
    axes = ("antenna", "subcarrier") if kind == "csi" else ("angle", "delay")
    values = np.broadcast_to((number + 1j * np.arange(samples))[:, None, None, None], (samples, *shape))
    about = {"units": "1", "long_name": "test"}
    dataset = xr.Dataset(
        {
            "csi": (("sample", "time", *axes), values.astype(np.complex64), about),
            "position": (("sample", "time", "xyz"), np.zeros((samples, shape[0], 3)), about),
            "velocity": (("sample", "time", "xyz"), np.zeros((samples, shape[0], 3)), about),
            "speed": ("sample", np.zeros(samples), about),
            "los": ("sample", np.zeros(samples, bool), about),
            "trajectory": ("sample", np.arange(samples), about),
            "split": ("sample", (np.arange(samples) % 3).astype(np.int8), split_attributes()),
        }
    )
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


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("held_bytes", [0, 2**20])
def test_an_epoch_shows_every_sample_of_the_split_once_and_none_of_another(stores, split, held_bytes, monkeypatch):
    monkeypatch.setattr(batches, "HELD_BYTES", held_bytes)
    kind, paths = stores
    dataset = CSIBatches(paths, kind, split)
    seen = []
    for indices in dataset.batch_sampler(4, seed=0):
        csi = dataset.__getitems__(indices)["csi"]
        assert csi.dtype == torch.complex64 and len(csi) == len(indices)
        number = int(csi.real[0, 0, 0, 0])
        assert csi.shape[1:] == SHAPES[kind][number]
        # One store per batch, and the whole sample is the right one.
        assert (csi == csi[:, :1, :1, :1]).all() and (csi.real == number).all()
        seen += [(number, int(row)) for row in csi.imag[:, 0, 0, 0]]
    expected = [(n, row) for n, size in enumerate(SAMPLES) for row in range(size) if row % 3 == SPLITS.index(split)]
    assert sorted(seen) == expected and len(dataset) == len(expected)


def test_items_are_batches_of_one(stores):
    kind, paths = stores
    dataset = CSIBatches(paths, kind, "train")
    for index in (0, len(dataset) - 1):
        assert torch.equal(dataset[index]["csi"], dataset.__getitems__([index])["csi"][0])


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    batch_size=st.integers(1, 16),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 50),
)
@settings(max_examples=50, deadline=None)
def test_sampler_partitions_the_items_into_even_batches_of_one_store(sizes, batch_size, seed, epoch):
    stores = np.repeat(np.arange(len(sizes)), sizes)
    sampler = OneStoreBatchSampler(stores, batch_size, seed)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert sorted(functools.reduce(operator.iadd, drawn, [])) == list(range(sum(sizes)))
    assert len(drawn) == len(sampler) == sum(-(-size // batch_size) for size in sizes)
    for number in range(len(sizes)):
        lengths = [len(batch) for batch in drawn if stores[batch[0]] == number]
        assert max(lengths) <= batch_size and max(lengths) - min(lengths) <= 1
    assert all(len(set(stores[batch])) == 1 for batch in drawn)


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = OneStoreBatchSampler(np.repeat([0, 1], [30, 20]), 8, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_a_batch_over_two_stores_is_refused(stores):
    kind, paths = stores
    dataset = CSIBatches(paths, kind, "train")
    with pytest.raises(ValueError, match="one store"):
        dataset.__getitems__([0, len(dataset) - 1])


def test_faults_of_stores_are_clear_errors(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match="no csi store there"):
        CSIBatches([tmp_path / "none.zarr"], "csi", "train")
    path = store(tmp_path / "two.zarr", "csi", 2, (4, 4, 4), 0)
    with pytest.raises(StorageError, match="no sample in split 'test'"):
        CSIBatches([path], "csi", "test")
    monkeypatch.setattr(batches, "HELD_BYTES", 0)
    dataset = CSIBatches([path], "csi", "train")
    (shard,) = [file for file in (path / "csi" / "c").rglob("*") if file.is_file()]
    shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(StorageError, match="'csi' is damaged or cut short"):
        dataset.__getitems__([0])
    monkeypatch.undo()
    with pytest.raises(StorageError, match="'csi' is damaged or cut short"):
        CSIBatches([path], "csi", "train")
