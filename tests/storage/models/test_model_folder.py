"""A model folder comes back tensor for tensor, or is refused with a message that names the fault."""

import hashlib
import json
import pickle
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel, BertConfig, PreTrainedConfig, PreTrainedModel

from storage.errors import StorageError
from storage.models.model_folder import load_model, load_weights, save_model


class ToyConfig(PreTrainedConfig):
    model_type = "storage_test_toy"

    def __init__(self, width: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.width = width


class Toy(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.layer = nn.Linear(config.width, 2)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("table", torch.arange(4.0))
        self.post_init()

    def forward(self, x):
        return self.dropout(self.layer(x))


class Trap:
    """Unpickled, it ends the test."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


AutoConfig.register("storage_test_toy", ToyConfig)
AutoModel.register(ToyConfig, Toy)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    folder = tmp_path / "models/toy/seed_0"
    save_model(Toy(ToyConfig(width=5)), folder)
    return folder


def test_round_trip(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "config.json", "model.safetensors"]
    torch.manual_seed(0)
    original, loaded = Toy(ToyConfig(width=5)), load_model(folder)
    assert not loaded.training
    assert loaded.config.width == 5
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_same_weights_give_the_same_bytes_wherever_they_come_from(folder, tmp_path):
    copy = tmp_path / "elsewhere"
    save_model(load_model(folder), copy)
    for name in ("config.json", "model.safetensors", "SHA256SUMS"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()


def test_failed_save_leaves_the_old_folder(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()

    def fail(self, path, **options):
        (path / "config.json").write_text("{}")
        raise OSError("disk full")

    monkeypatch.setattr(Toy, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(Toy(ToyConfig()), folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["seed_0"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "SHA256SUMS"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(StorageError, match=f"{name} is missing"):
        load_model(folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match="nothing: no such model folder"):
        load_model(tmp_path / "nothing")


def test_pickle_is_never_loaded(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"layer.weight": 1}))
    with pytest.raises(StorageError, match=r"pytorch_model\.bin is a pickle and is not loaded"):
        load_model(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_config(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(StorageError, match=r"config\.json: no model configuration"):
        load_model(folder)


def test_unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "hologram"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StorageError, match=r"config\.json: architecture 'hologram', allowed: .*storage_test_toy"):
        load_model(folder)


def test_an_architecture_that_transformers_knows_and_we_do_not(folder):
    BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(folder)
    with pytest.raises(StorageError, match="architecture 'bert', allowed: "):
        load_model(folder)


@pytest.mark.parametrize("kept", [0, 4, 100, -8])
def test_weights_cut_short(folder, kept):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(StorageError, match=r"model\.safetensors is no safetensors file, or it was cut short"):
        load_model(folder)


def test_a_pickle_under_the_name_of_safetensors_is_not_unpickled(folder):
    torch.save({"layer.weight": Trap()}, folder / "model.safetensors")
    with pytest.raises(StorageError, match="is no safetensors file"):
        load_model(folder)


@pytest.mark.parametrize("width", [-3, "wide", None])
def test_numbers_that_make_no_network(folder, width):
    config = json.loads((folder / "config.json").read_text()) | {"width": width}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StorageError, match="seed_0: cannot be loaded as storage_test_toy: "):
        load_model(folder)


def test_weights_of_another_architecture(folder):
    save_file({f"blocks.{index}": torch.zeros(2) for index in range(9)}, folder / "model.safetensors")
    with pytest.raises(StorageError) as error:
        load_model(folder)
    assert str(error.value) == (
        f"{folder}/model.safetensors does not hold the weights of the storage_test_toy in config.json: "
        "missing tensors: layer.bias, layer.weight, table; "
        "unexpected tensors: blocks.0, blocks.1, blocks.2, blocks.3 and 5 more"
    )


def change(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_tensor(folder):
    change(folder, lambda tensors: tensors.pop("layer.bias"))
    with pytest.raises(StorageError, match=r"missing tensors: layer\.bias"):
        load_model(folder)


def test_unexpected_tensor(folder):
    change(folder, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(StorageError, match="unexpected tensors: extra"):
        load_model(folder)


def test_tensor_of_another_shape(folder):
    change(folder, lambda tensors: tensors.update({"layer.bias": torch.zeros(7)}))
    with pytest.raises(StorageError, match=r"mismatched tensors: layer\.bias"):
        load_model(folder)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("position", [-1, -17, -40])
def test_a_flipped_bit_of_the_weights_is_seen(folder, position):
    before = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    flip(folder / "model.safetensors", position)
    after = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for read in (load_model, load_weights):
        with pytest.raises(StorageError) as error:
            read(folder)
        assert str(error.value) == (
            f"{folder}/model.safetensors is damaged or was changed: its sha256 is {after}, SHA256SUMS says {before}"
        )


def test_a_changed_config_that_makes_the_same_network_is_seen(folder):
    config = json.loads((folder / "config.json").read_text()) | {"colour": "green"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StorageError, match=r"config\.json is damaged or was changed: its sha256 is"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x  model.safetensors\n", b"0" * 64 + b"  config.json"])
def test_damaged_digests_are_named(folder, content):
    (folder / "SHA256SUMS").write_bytes(content)
    with pytest.raises(StorageError, match=r"SHA256SUMS: damaged, it holds no digest|config\.json is damaged"):
        load_model(folder)


def test_weights_come_back_by_name(folder):
    assert set(load_weights(folder)) == {"layer.weight", "layer.bias", "table"}


def test_a_shell_checks_a_folder(folder):
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder).returncode == 0
    flip(folder / "model.safetensors", -1)
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder).returncode == 1
