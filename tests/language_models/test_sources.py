"""Language models are had from packages, folders and chance; what would have to be run or is none is refused."""

import json
import pickle
import zipfile

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from transformers import AutoModel, BertConfig, BertModel, ViTConfig, ViTModel

from tests.language_models.example import ARCHITECTURES, TOKENS, tiny, write_gguf, write_wheel
from wavefoundry.errors import InputError
from wavefoundry.language_models import sources
from wavefoundry.language_models.options import LanguageModelOptions, Source
from wavefoundry.language_models.sources import open_source, unpack_weights


def source(**values):
    return TypeAdapter(Source).validate_python(values)


def same(found, expected):
    return {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in expected.items()
    }


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in which pip finds packages, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


WHEEL = {"kind": "wheel", "package": "tiny-lm", "version": "1.0"}


def test_a_wheel_is_downloaded_and_its_weights_are_read(tmp_path, index, scratch):
    model = tiny("llama")
    write_gguf(tmp_path / "tiny.gguf", model)
    weights = (tmp_path / "tiny.gguf").read_bytes()
    write_wheel(index, {"tiny_lm/tiny.gguf": weights, "tiny_lm/__init__.py": b"raise SystemExit"})
    found = open_source(source(**WHEEL), scratch)
    assert same(found.backbone.state_dict(), model.base_model.state_dict())
    assert found.licence == "Be kind.\n"
    assert set(found.origin["sha256"]) == {"tiny_lm/tiny.gguf"} and found.origin["version"] == "1.0"
    assert str(tmp_path) not in json.dumps(found.origin)


def test_a_wheel_without_a_text_has_the_name_of_its_licence(index):
    write_wheel(index, {}, licence=None)
    with zipfile.ZipFile(next(index.iterdir())) as archive:
        assert sources._licence_of_wheel(archive) == "Apache-2.0\n"


def test_a_package_that_pip_does_not_find_is_one_line_that_says_what_to_do(index, scratch):
    with pytest.raises(
        InputError, match=r"^pip cannot download tiny-lm 1\.0 as a wheel \(ERROR.*kind: folder"
    ) as caught:
        open_source(source(**WHEEL), scratch)
    assert len(str(caught.value).splitlines()) == 1


def test_a_package_that_would_have_to_be_built_is_not(index, scratch):
    """Building runs code of the package."""
    import io
    import tarfile

    with tarfile.open(index / "tiny_lm-1.0.tar.gz", "w:gz") as archive:
        for name, text in (("setup.py", "raise SystemExit"), ("PKG-INFO", "Name: tiny-lm\nVersion: 1.0\n")):
            entry = tarfile.TarInfo(f"tiny_lm-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    with pytest.raises(InputError, match="pip cannot download"):
        open_source(source(**WHEEL), scratch)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "must hold one file of weights, .*found: none"),
        ({"a.gguf": b"", "b.gguf": b""}, r"found: a\.gguf, b\.gguf"),
        ({"../a.gguf": b""}, r"'\.\./a\.gguf' leads out of the wheel"),
        ({"/etc/a.gguf": b""}, "leads out of the wheel"),
        ({"a.gguf": b"x" * 11}, "has 11 bytes, allowed: at most 10"),
    ],
)
def test_weights_of_a_wheel_that_are_not_as_they_should_be_are_refused(index, scratch, monkeypatch, files, message):
    monkeypatch.setattr(sources, "MOST_WEIGHTS", 10)
    with (
        zipfile.ZipFile(write_wheel(index, files)) as archive,
        pytest.raises(InputError, match=message),
    ):
        unpack_weights(archive, "tiny-lm 1.0", scratch / "weights.gguf")
    assert not list(scratch.iterdir())


def test_damaged_weights_of_a_wheel_are_one_line(index, scratch):
    write_wheel(index, {"tiny.gguf": b"GGUF nonsense"})
    with pytest.raises(InputError, match=r"tiny-lm 1\.0: tiny\.gguf cannot be loaded as a language model") as caught:
        open_source(source(**WHEEL), scratch)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("headless", [False, True])
def test_a_folder_of_transformers_is_read_with_or_without_its_head(tmp_path, scratch, kind, headless):
    model = tiny(kind)
    folder = tmp_path / "model"
    (model.base_model if headless else model).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    found = open_source(source(kind="folder", path=str(folder)), scratch)
    assert same(found.backbone.state_dict(), model.base_model.state_dict())
    assert found.licence == "mit\n"
    assert set(found.origin["sha256"]) == {"config.json", "model.safetensors"}


class Trap:
    """Unpickled, it ends the test."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_a_pickle_is_refused_with_what_to_do(tmp_path, scratch):
    tiny("gpt2").config.save_pretrained(tmp_path / "model")
    (tmp_path / "model/pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle, which runs code.*save_pretrained") as caught:
        open_source(source(kind="folder", path=str(tmp_path / "model")), scratch)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_language_model_is_refused(tmp_path, scratch):
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ViTModel(ViTConfig(**small)).save_pretrained(tmp_path / "vit")
    BertModel(BertConfig(vocab_size=9, **small)).save_pretrained(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/config.json").write_text('{"model_type": "nonesuch"}')
    for name, message in {
        "vit": "vit is no language model that goes on with a text",
        "bert": "bert is no language model that goes on with a text",
        "empty": "no language model, for it has no config.json",
        "odd": r"config\.json cannot be read as one of transformers",
        "nowhere": "no such folder; a folder of a language model holds",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            open_source(source(kind="folder", path=str(tmp_path / name)), scratch)
        assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_lacks_weights_is_refused(tmp_path, scratch):
    model = tiny("llama", num_hidden_layers=2)
    model.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"9 tensors of its weights are missing, the first is model\.layers\.2"):
        open_source(source(kind="folder", path=str(tmp_path / "model")), scratch)
    (tmp_path / "model/model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="model cannot be loaded as a language model"):
        open_source(source(kind="folder", path=str(tmp_path / "model")), scratch)


def test_code_that_a_folder_brings_along_is_not_run(tmp_path, scratch):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"}}'
    )
    (folder / "own.py").write_text("raise SystemExit('code was run')\n")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        open_source(source(kind="folder", path=str(folder)), scratch)


def test_a_hub_gives_a_folder_and_one_out_of_reach_is_one_line(tmp_path, scratch, monkeypatch):
    import huggingface_hub

    asked = {"kind": "hub", "name": "somebody/tiny", "revision": "main"}
    folder = tmp_path / "snapshots/0123abcd"
    tiny("gpt2").save_pretrained(folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *names, **options: str(folder))
    found = open_source(source(**asked), scratch)
    assert found.origin["commit"] == "0123abcd" and str(tmp_path) not in json.dumps(found.origin)

    def unreachable(*names, **options):
        raise OSError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    message = r"^somebody/tiny at main cannot be fetched from the model hub \(no route to host\); .*kind: folder"
    with pytest.raises(InputError, match=message):
        open_source(source(**asked), scratch)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_random_weights_come_from_their_seed_alone(scratch, kind):
    architecture = {"model_type": kind} | ARCHITECTURES[kind] | TOKENS

    def weights(seed):
        torch.rand(seed + 1)
        state = torch.get_rng_state()
        found = open_source(source(kind="random", architecture=architecture, seed=seed), scratch)
        assert torch.equal(torch.get_rng_state(), state)
        assert type(found.backbone) is type(AutoModel.from_config(found.backbone.config))
        return found.backbone.state_dict()

    assert same(weights(3), weights(3)) and not same(weights(3), weights(4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden_size": 8}, r"architecture\.hiden_size: llama has no such key"),
        ({"model_type": "nonesuch"}, "architecture: nonesuch with these values is no network"),
        ({"model_type": "vit"}, "has no such key|vit is no language model"),
        ({"num_attention_heads": 5}, "architecture: llama with these values is no network"),
    ],
)
def test_an_architecture_that_is_none_is_one_line(scratch, changes, message):
    architecture = {"model_type": "llama"} | ARCHITECTURES["llama"] | TOKENS | changes
    with pytest.raises(InputError, match=message) as caught:
        open_source(source(kind="random", architecture=architecture, seed=0), scratch)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "wheel", "package": "--index-url", "version": "1"},
        {"kind": "wheel", "package": "https://host/a.whl", "version": "1"},
        {"kind": "wheel", "package": "a", "version": "1 --pre"},
        {"kind": "hub", "name": "../secrets", "revision": "main"},
        {"kind": "random", "architecture": {"n_layer": 2}, "seed": 0},
        {"kind": "url", "path": "x"},
    ],
)
def test_names_that_could_be_something_else_are_refused(values):
    with pytest.raises(ValidationError):
        source(**values)
    with pytest.raises(ValidationError):
        LanguageModelOptions.model_validate({"source": values, "blocks": 0, "dictionary": 1})
