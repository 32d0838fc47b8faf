"""Pretraining and fine-tuning of LWM-Temporal on two tiny stores: what each option of the prediction trains on."""

from itertools import count
from types import SimpleNamespace

import pytest
import torch
import yaml

from stages.model_folders import backbone_folder
from stages.pretrain import pretrain_lwm_temporal
from storage.models.model_folder import load_model
from storage.stores.csi_store import write_store
from tests.storage.example import make_dataset
from wavefoundry.config import PretrainLWMTemporal
from wavefoundry.errors import InputError

SMALL = {"patch_size": [1, 2], "embed_dim": 8, "depth": 1, "num_heads": 2, "class_token": True}
AUGMENTATION = {
    "phase_probability": 0.5,
    "amplitude_probability": 0.5,
    "amplitude_db": [-3.0, 3.0],
    "noise_probability": 0.5,
    "snr_db": [10.0, 20.0],
}


@pytest.fixture
def pretrain(tmp_path, monkeypatch):
    """Trains with changed options of the prediction: (predictor, history, number of batches of each training)."""
    with open("params.yaml") as file:
        section = yaml.safe_load(file)["pretrain"]["lwm_temporal"]
    stores = [tmp_path / f"{seed}.zarr" for seed in range(2)]
    for seed, path in enumerate(stores):
        write_store(path, make_dataset(samples=18, seed=seed, kind="angle_delay"), "angle_delay")
    monkeypatch.chdir(tmp_path)
    short = {"epochs": 2, "batch_size": 3}

    folders = count()

    def run(**options):
        section["architecture"] |= SMALL
        section["masking"] |= {"curriculum": "strategies"}
        section["training"] |= short
        section["augmentation"] = AUGMENTATION
        section["prediction"] |= options | {"training": section["prediction"]["training"] | short}
        parameters = SimpleNamespace(
            pretrain=SimpleNamespace(lwm_temporal=PretrainLWMTemporal.model_validate(section)),
            angle_delay=SimpleNamespace(keep_percentage=0.25),
        )
        torch.manual_seed(0)
        steps = []
        predictor, history = pretrain_lwm_temporal(
            stores,
            parameters,
            seed=0,
            checkpoints=tmp_path / f"checkpoints_{next(folders)}",
            on_epoch=lambda row, step: steps.append(step),
        )
        return predictor, history, steps

    return run


def test_fine_tuning_on_all_samples_and_on_a_few(pretrain):
    predictor, history, steps = pretrain(few_shot=None, horizon=[1, 2])
    assert [row["stage"] for row in history] == ["pretraining"] * 2 + ["prediction"] * 2
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert steps == [4, 8, 4, 8]  # 6 training samples in each store, in batches of 3
    assert predictor.config.horizon == [1, 2] and predictor.config.residual


def test_few_shot_takes_fewer_steps_and_ends_in_the_same_weights_again(pretrain):
    first, _, steps = pretrain(few_shot=4)
    assert steps == [4, 8, 2, 4]
    again, _, _ = pretrain(few_shot=4)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_inference_only_is_the_pretrained_network_itself(pretrain):
    predictor, history, steps = pretrain(inference_only=True)
    assert [row["stage"] for row in history] == ["pretraining"] * 2 and steps == [4, 8]
    backbone = load_model(backbone_folder("lwm_temporal", 0))
    for name, weight in predictor.state_dict().items():
        assert torch.equal(weight, backbone.state_dict()[name]), name
    known = torch.randn(2, 4, 2, 24, dtype=torch.complex64)
    for horizon in (1, 10):
        assert predictor.predict(known, "time", horizon).shape == (2, horizon, 2, 24)


def test_more_shots_than_samples_is_refused_before_anything_is_trained(pretrain, tmp_path):
    with pytest.raises(InputError, match="few_shot is 13, but there are 12 samples"):
        pretrain(few_shot=13)
    assert not (tmp_path / backbone_folder("lwm_temporal", 0)).exists()
