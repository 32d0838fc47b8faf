"""Few-shot data: which samples, in which batches."""

import pytest
import torch
from torch.utils.data import Dataset

from wavefoundry.errors import InputError
from wavefoundry.training.few_shot import FewShot


class Numbers(Dataset):
    """Item i is the number i, alone or twice."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return {"csi": torch.full((1 + index % 2,), index)}


def test_the_same_samples_for_a_seed_and_more_of_them_contain_the_fewer():
    few = FewShot(Numbers(), 10, seed=3)
    assert few.indices == FewShot(Numbers(), 10, seed=3).indices
    assert few.indices != FewShot(Numbers(), 10, seed=4).indices
    assert FewShot(Numbers(), 20, seed=3).indices[:10] == few.indices
    assert len(set(few.indices)) == len(few) == 10


def test_every_epoch_reads_each_sample_once_in_batches_of_one_shape_and_a_new_order():
    few = FewShot(Numbers(), 17, seed=0)
    sampler = few.batch_sampler(4, seed=1)
    epochs = []
    for epoch in (0, 1, 1):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        read = [few.__getitems__(batch)["csi"] for batch in batches]  # stacking would fail for mixed shapes
        assert sorted(value for part in read for value in part[:, 0].tolist()) == sorted(few.indices)
        epochs.append(batches)
    assert epochs[0] != epochs[1] and epochs[1] == epochs[2]


def test_more_samples_than_there_are_is_refused():
    with pytest.raises(InputError, match="few_shot is 41, but there are 40 samples"):
        FewShot(Numbers(), 41, seed=0)
