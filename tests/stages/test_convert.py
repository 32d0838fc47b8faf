"""Published weights become the network of an entry, and give what the released code makes of them."""

import pickle
import re

import pytest
import torch
import yaml
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from stages.convert import convert
from stages.loading import load_predictors
from stages.params import parse, read
from stages.paths import model_folder
from storage.errors import StorageError
from storage.models.model_folder import load_model
from tests.networks.wifo.published import ARCHITECTURE, published_weights, recomputed
from tests.parameters import PROJECT, tiny_parameters
from wavefoundry.errors import InputError
from wavefoundry.networks.wifo.model import build

FOLDER = model_folder("wifo", 0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder whose entry `wifo` has the sizes of the published weights; call it to write params.yaml."""
    monkeypatch.chdir(tmp_path)

    def write(rule="published", **changes):
        parameters = tiny_parameters()
        # Students of the entry have sizes of their own.
        parameters["distill"] = {}
        parameters["claims"] = {}
        architecture = ARCHITECTURE | {"position_rule": rule, "linear_prediction": None}
        parameters["teach"]["wifo"] |= {"architecture": architecture} | changes
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))

    write()
    return write


def channel():
    csi = torch.randn(2, 16, 8, 12, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    return 3.0 * csi


def assert_is_the_released_network(model, rule):
    csi = channel()
    for known, asked in (((8, 12), (8, 0)), ((16, 4), (0, 8)), ((8, 4), (8, 8))):
        block = csi[:, : known[0], :, : known[1]]
        # Ours scales each sample by what is known of it; the released code is given standardised samples.
        scale = block.abs().square().mean((1, 2, 3), keepdim=True).sqrt()
        expected = scale * recomputed(published_weights(), csi / scale, known, rule)
        expected = expected[:, known[0] :] if asked[0] else expected[:, : known[0]]
        expected = expected[..., known[1] :] if asked[1] else expected[..., : known[1]]
        found = model.predict(block, *asked)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rule", ["own", "published"])
def test_output_is_that_of_the_released_code(project, tmp_path, rule):
    project(rule)
    torch.save(published_weights(), tmp_path / "wifo.pkl")
    assert convert("wifo", tmp_path / "wifo.pkl") == FOLDER
    for model in (load_model(FOLDER), AutoModel.from_pretrained(FOLDER).eval()):
        assert_is_the_released_network(model, rule)
    # What an evaluation asks.
    assert_is_the_released_network(load_predictors(read(), "teach", "wifo")[0], rule)


def test_the_two_rules_differ_where_one_axis_is_masked_as_a_whole():
    csi, weights = channel(), published_weights()
    for known, same in (((8, 12), False), ((16, 4), False), ((8, 4), True)):
        own, published = (recomputed(weights, csi, known, rule) for rule in ("own", "published"))
        assert torch.equal(own, published) == same


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"model": weights, "epoch": 200, "args": {"size": "tiny"}},
        lambda weights: {"state_dict": {f"model.{name}": value for name, value in weights.items()}},
        lambda weights: {f"module.{name}": value for name, value in weights.items()},
        lambda weights: {f"module.model.{name}": value for name, value in weights.items()},
        lambda weights: {name: value for name, value in weights.items() if "pos_embed" not in name},
    ],
)
def test_what_stands_around_the_weights_changes_nothing(project, tmp_path, wrap):
    torch.save(published_weights(), tmp_path / "plain.pkl")
    expected = load_model(convert("wifo", tmp_path / "plain.pkl")).state_dict()
    FOLDER.rename(tmp_path / "first")
    torch.save(wrap(published_weights()), tmp_path / "wrapped.pkl")
    found = load_model(convert("wifo", tmp_path / "wrapped.pkl")).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


class Foreign:
    """Leaves a file when it is unpickled."""

    def __reduce__(self):
        return open, ("unpickled", "w")


def without(*names):
    return {name: value for name, value in published_weights().items() if name not in names}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("norm.bias", "blocks.1.attn.k.bias"), r"missing: blocks\.1\.attn\.k\.bias, norm\.bias$"),
        (published_weights() | {"cls_token": torch.zeros(1)}, r"unknown: cls_token$"),
        (
            published_weights() | {"decoder_embed.weight": torch.zeros(64, 32)},
            r"another shape: decoder_embed\.weight \(64, 32\), the architecture needs \(64, 64\)$",
        ),
        (
            published_weights() | {"norm.bias": torch.full((64,), torch.nan)},
            r"not finite floating-point numbers: norm\.bias$",
        ),
        (published_weights() | {"norm.bias": torch.zeros(64, dtype=torch.int64)}, r"not finite .*: norm\.bias$"),
        (published_weights() | {"epoch": 3}, r"'epoch' is an object of the type int; a mapping of names to tensors"),
        ({}, r"holds an empty mapping; a mapping of names to tensors is needed$"),
        ([torch.zeros(3)], r"holds an object of the type list; a mapping of names to tensors is needed$"),
        (published_weights() | {"extra": Foreign()}, r"holds \w+\.open, which is no tensor"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_clear_error(project, tmp_path, content, message):
    path = tmp_path / "wifo.pkl"
    torch.save(content, path)
    with pytest.raises((InputError, StorageError), match=message) as raised:
        convert("wifo", path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no checkpoint at all", b"\x89PNG\r\n", pickle.dumps({"norm.bias": [1.0]}), b"PK\x03\x04cut short"],
)
def test_a_file_that_is_no_checkpoint_is_one_clear_error(project, tmp_path, content):
    (tmp_path / "wifo.pkl").write_bytes(content)
    with pytest.raises(StorageError, match=r"wifo\.pkl: is no checkpoint of torch\.save, or it is damaged$"):
        convert("wifo", tmp_path / "wifo.pkl")
    assert nothing_is_left(tmp_path)


def test_a_checkpoint_that_is_not_there(project, tmp_path):
    with pytest.raises(StorageError, match=r"wifo\.pkl: no such file$"):
        convert("wifo", tmp_path / "wifo.pkl")
    assert nothing_is_left(tmp_path)


def test_an_entry_that_cannot_take_weights_is_one_clear_error(project, tmp_path):
    torch.save(published_weights(), tmp_path / "wifo.pkl")
    with pytest.raises(InputError, match="no entry 'wiffo', found: "):
        convert("wiffo", tmp_path / "wifo.pkl")
    with pytest.raises(InputError, match=r"^lwm: .* of the family lwm cannot be read, of: wifo$"):
        convert("lwm", tmp_path / "wifo.pkl")
    project(seeds=[0, 1])
    with pytest.raises(InputError, match=r"^wifo: seeds are \[0, 1\]; .* give one seed$"):
        convert("wifo", tmp_path / "wifo.pkl")
    assert nothing_is_left(tmp_path)


def test_a_network_that_is_there_is_left_as_it_is(project, tmp_path):
    torch.save(published_weights(), tmp_path / "wifo.pkl")
    convert("wifo", tmp_path / "wifo.pkl")
    before = {path: path.read_bytes() for path in FOLDER.iterdir()}
    torch.save(published_weights(seed=1), tmp_path / "other.pkl")
    with pytest.raises(InputError, match=f"^{re.escape(str(FOLDER))}: there is a network already"):
        convert("wifo", tmp_path / "other.pkl")
    assert {path: path.read_bytes() for path in FOLDER.iterdir()} == before


def test_the_entry_of_the_documentation_is_valid():
    text = (PROJECT / "docs/published-weights.md").read_text()
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    parameters = tiny_parameters()
    parameters["teach"] |= yaml.safe_load(block)["teach"]
    options = parse(yaml.safe_dump(parameters, sort_keys=False), "params.yaml").model("wifo_base").options
    with torch.device("meta"):
        network = build(options, 1.0)
    assert options.architecture.position_rule == "published"
    # The released code's WiFo-Base has 21.51 million weights, with 172 learnt positions that are not used.
    weights = sum(value.numel() for value in network.parameters())
    assert (weights + 172 * 512) / 1e6 == pytest.approx(21.51, abs=0.005)


def nothing_is_left(folder):
    return {path.name for path in folder.iterdir()} <= {"params.yaml", "wifo.pkl"}
