"""Pretraining and fine-tuning of LWM-Temporal on two tiny stores: what each option of the prediction trains on."""

from itertools import count

import pytest
import torch

from storage.batches.batches import CSIBatches
from storage.stores.csi_store import write_store
from tests.parameters import tiny_parameters
from tests.storage.example import make_dataset
from wavefoundry.errors import InputError
from wavefoundry.networks.lwm_temporal.model import train
from wavefoundry.networks.lwm_temporal.options import Options
from wavefoundry.training.session import TrainingSession

SMALL = {"patch_size": [1, 2], "embed_dim": 8, "depth": 1, "num_heads": 2, "class_token": True}
AUGMENTATION = {
    "phase_probability": 0.5,
    "amplitude_probability": 0.5,
    "amplitude_db": [-3.0, 3.0],
    "noise_probability": 0.5,
    "snr_db": [10.0, 20.0],
}


@pytest.fixture
def trained(tmp_path):
    """Trains with changed options of the prediction: what it ends in, and the number of batches of each training."""
    section = tiny_parameters()["pretrain"]["lwm_temporal"]
    section = {key: value for key, value in section.items() if key in Options.model_fields}
    stores = [tmp_path / f"{seed}.zarr" for seed in range(2)]
    for seed, path in enumerate(stores):
        write_store(path, make_dataset(samples=18, seed=seed, kind="angle_delay"), "angle_delay")
    short = {"epochs": 2, "batch_size": 3}
    folders = count()

    def run(**options):
        changed = section | {
            "architecture": section["architecture"] | SMALL,
            "masking": section["masking"] | {"curriculum": "strategies"},
            "training": section["training"] | short,
            "augmentation": AUGMENTATION,
            "prediction": section["prediction"] | options | {"training": section["prediction"]["training"] | short},
        }
        torch.manual_seed(0)
        steps = []
        session = TrainingSession(
            dataset=CSIBatches(stores, "angle_delay", "train"),
            validation=lambda: pytest.fail("nothing is calibrated here"),
            delay_fraction=0.25,
            seed=0,
            checkpoints=tmp_path / f"checkpoints_{next(folders)}",
            on_epoch=lambda row, step: steps.append(step),
            take_champion=lambda network: pytest.fail("nothing goes on from a champion here"),
            language_model=lambda name: pytest.fail("nothing builds on a language model here"),
        )
        return train(Options.model_validate(changed), session), steps

    return run


def test_fine_tuning_on_all_samples_and_on_a_few(trained):
    result, steps = trained(few_shot=None, horizon=[1, 2])
    assert [row["stage"] for row in result.history] == ["pretraining"] * 2 + ["prediction"] * 2
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    assert steps == [4, 8, 4, 8]  # 6 training samples in each store, in batches of 3
    assert result.model.options.prediction.horizon == [1, 2] and result.model.predicts_changes


def test_few_shot_takes_fewer_steps_and_ends_in_the_same_weights_again(trained):
    first, steps = trained(few_shot=4)
    assert steps == [4, 8, 2, 4]
    again, _ = trained(few_shot=4)
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name


def test_inference_only_is_the_pretrained_network_itself(trained):
    result, steps = trained(inference_only=True, linear_start=None)
    assert [row["stage"] for row in result.history] == ["pretraining"] * 2 and steps == [4, 8]
    backbone = result.backbone.state_dict()
    for name, weight in result.model.state_dict().items():
        assert torch.equal(weight, backbone[name]), name
    known = torch.randn(2, 4, 2, 24, dtype=torch.complex64)
    for slots in (1, 10):
        assert result.model.predict(known, slots, 0).shape == (2, slots, 2, 24)


def test_more_shots_than_samples_is_refused_before_anything_is_trained(trained, tmp_path):
    with pytest.raises(InputError, match="few_shot is 13, but there are 12 samples"):
        trained(few_shot=13)
    assert not (tmp_path / "checkpoints_0").exists()
