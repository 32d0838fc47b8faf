"""A config.json with a fault is refused in one line that names the key, whoever wrote it."""

import json

import pytest

from storage.errors import StorageError
from storage.models.model_folder import load_model, save_model
from tests.networks.lwm import example as lwm
from tests.networks.lwm_temporal import example as lwm_temporal
from tests.networks.wifo import example as wifo
from tests.networks.wimamba import example as wimamba
from wavefoundry.errors import InputError
from wavefoundry.networks import auto_classes  # noqa: F401 - registers the architectures
from wavefoundry.networks.wifo.model import WiFo, WiFoConfig

NETWORKS = {
    "lwm": lwm.lwm,
    "lwm_temporal": lwm_temporal.backbone,
    "lwm_temporal_predictor": lwm_temporal.predictor,
    "wifo": wifo.wifo,
    "wimamba": wimamba.wimamba,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a network, and a way to write its config.json anew."""
    folders = {}

    def get(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "seed_0"
            save_model(NETWORKS[name](), folders[name])
        return folders[name]

    return get


@pytest.fixture
def refused(saved):
    """The one line with which a network is refused after `edit` of the content of its config.json."""

    def message(name, edit):
        file = saved(name) / "config.json"
        before = file.read_text()
        content = json.loads(before)
        edit(content)
        file.write_text(json.dumps(content))
        try:
            with pytest.raises(StorageError) as error:
                load_model(saved(name))
        finally:
            file.write_text(before)
        assert "\n" not in str(error.value) and str(saved(name)) in str(error.value)
        return str(error.value)

    return message


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_built_is_what_config_json_holds(saved, name):
    content = json.loads((saved(name) / "config.json").read_text())
    network = load_model(saved(name))
    assert content["options"] == network.config.settings.model_dump(mode="json")
    assert content["delay_fraction"] == network.config.delay_fraction
    assert content["model_type"] == name


@pytest.mark.parametrize("name", NETWORKS)
def test_misspelt_missing_and_out_of_range_options_are_named(refused, name):
    def misspell(content):
        content["options"]["architecture"]["max_sequence"] = 3

    assert "options.architecture.max_sequence: unknown key" in refused(name, misspell)
    depth = "encoder_depth" if name == "wifo" else "depth"
    key = f"options.architecture.{depth}: "
    assert key in refused(name, lambda content: content["options"]["architecture"].pop(depth))
    for value in (0, -1, 2.5, "two", None):
        message = refused(name, lambda content, value=value: content["options"]["architecture"].update({depth: value}))
        assert f"{key}found {value!r}, " in message
    assert "options.training: missing" in refused(name, lambda content: content["options"].pop("training"))
    assert "options: found None, " in refused(name, lambda content: content.pop("options"))
    assert "options: found [], " in refused(name, lambda content: content.update(options=[]))


@pytest.mark.parametrize("name", NETWORKS)
def test_several_faults_are_told_in_the_same_line(refused, name):
    def edit(content):
        content["options"]["training"].update(epochs=0, batch_size=0)

    message = refused(name, edit)
    assert "options.training.epochs: found 0" in message and "; options.training.batch_size: found 0" in message


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("lwm", {"heads": 5}, "options.architecture: heads 5 does not divide hidden_size 32"),
        ("wifo", {"heads": 5}, "options.architecture: heads 5 does not divide hidden_size 32"),
        ("wifo", {"heads": 1, "hidden_size": 33}, "options.architecture: hidden_size 33 is odd"),
        ("wimamba", {"hidden_size": 33}, "options.architecture.hidden_size: found 33, "),
        ("lwm_temporal", {"num_heads": 3}, "options.architecture: num_heads 3 does not divide embed_dim 16"),
        ("lwm_temporal", {"positions": "sine"}, "options.architecture.positions: found 'sine', "),
        ("lwm_temporal_predictor", {"phase_mode": "polar"}, "options.architecture.phase_mode: found 'polar', "),
        ("lwm_temporal_predictor", {"embed_dim": 15, "num_heads": 5}, "embed_dim / num_heads is 3; rotary"),
    ],
)
def test_numbers_that_make_no_network_are_named(refused, name, changes, told):
    assert told in refused(name, lambda content: content["options"]["architecture"].update(changes))


@pytest.mark.parametrize("value", [0, -0.25, 1.5, "0.25", None])
def test_a_share_of_delay_bins_out_of_range_is_named(refused, value):
    message = refused("lwm_temporal", lambda content: content.update(delay_fraction=value))
    assert f"delay_fraction: found {value!r}, it must be above 0 and at most 1" in message


def test_a_share_of_delay_bins_that_is_missing_or_misspelt_is_not_taken_as_all(refused):
    def misspell(content):
        content["delay_fractoin"] = content.pop("delay_fraction")

    for edit in (misspell, lambda content: content.pop("delay_fraction")):
        assert "delay_fraction: found 0.0, it must be above 0" in refused("lwm_temporal", edit)


def test_a_config_of_an_older_form_is_refused(refused):
    def flatten(content):
        content.update(content.pop("options")["architecture"])

    assert "options: found None, " in refused("wifo", flatten)


def test_a_network_without_options_is_refused():
    with pytest.raises(InputError, match="delay_fraction"):
        WiFo(WiFoConfig())
