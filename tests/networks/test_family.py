"""Families are found by name and keep what wavefoundry/networks/family.py promises, without torch where it says so."""

import inspect
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoConfig, AutoModel, PreTrainedModel

from tests.networks.every_family import (
    CODECS,
    EMBEDDING,
    EXAMPLES,
    NETWORKS,
    ON_LANGUAGE_MODELS,
    PREDICTING,
    SEQUENCES,
    fresh,
    with_weights_that_count,
)
from tests.networks.facts import facts
from tests.networks.lwm import example as lwm
from tests.networks.lwm_temporal import example as lwm_temporal
from tests.networks.wifo import example as wifo
from tests.parameters import tiny_parameters
from wavefoundry.errors import InputError
from wavefoundry.networks import auto_classes  # noqa: F401 - registers the architectures
from wavefoundry.networks.capabilities import Embedder, FeedbackCodec, Predictor, SequenceEmbedder, Tunable
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.family import FamilyOptions, families, merged, model_module, serving_module
from wavefoundry.objectives.objective import ObjectiveOptions, objectives, training_module


def parameters_of(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_families_of_the_project_are_found():
    assert list(families()) == sorted(EXAMPLES)


@pytest.mark.parametrize("name", families())
class TestEveryFamily:
    def test_its_options_say_what_it_reads(self, name):
        options = families()[name]
        assert issubclass(options, FamilyOptions)
        assert options.reads in ("csi", "angle_delay")

    def test_its_module_has_networks_that_the_auto_classes_know(self, name):
        for network in model_module(name).NETWORKS:
            config = network.config_class
            assert issubclass(network, PreTrainedModel) and issubclass(config, NetworkConfig)
            assert config.options_class is families()[name]
            given = fresh(name).config if name in ON_LANGUAGE_MODELS else config.of(EXAMPLES[name])
            assert isinstance(AutoConfig.for_model(**given.to_dict()), config)
            assert type(AutoModel.from_config(given)) is network

    def test_it_builds_and_trains_and_exports_as_promised(self, name):
        module = model_module(name)
        if name in ON_LANGUAGE_MODELS:
            assert parameters_of(module.on) == ["options", "model"]
        else:
            assert parameters_of(module.build) == ["options", "delay_fraction"]
        assert parameters_of(module.train) == ["options", "session"]
        network = fresh(name)
        assert type(network) in module.NETWORKS
        assert network.config.settings == EXAMPLES[name]
        serving = serving_module(name)
        # What can be registered is what predicts.
        assert (serving is not None) == isinstance(network, Predictor)
        if serving is not None:
            assert parameters_of(serving.export) == ["model", "folder"]

    def test_only_families_that_read_maps_keep_the_share_of_delays(self, name):
        network = fresh(name)
        assert network.config.delay_fraction == (0.5 if families()[name].reads == "angle_delay" else 1.0)

    def test_an_option_that_is_misspelt_or_missing_is_named(self, name):
        values = EXAMPLES[name].model_dump()
        with pytest.raises(ValidationError, match="trainnig"):
            families()[name].model_validate(values | {"trainnig": 1})
        for key in values:
            with pytest.raises(ValidationError, match=f"(?m)^{key}$"):
                families()[name].model_validate({other: value for other, value in values.items() if other != key})


@pytest.mark.parametrize("name", EMBEDDING)
def test_changes_go_into_mappings_and_leave_the_rest(name):
    changed = EXAMPLES[name].changed({"training": {"epochs": 77}})
    assert changed.training.epochs == 77
    assert changed.changed({"training": {"epochs": EXAMPLES[name].training.epochs}}) == EXAMPLES[name]
    with pytest.raises(ValidationError, match=r"training\.epochs"):
        EXAMPLES[name].changed({"training": {"epochs": 0}})


def test_every_objective_keeps_its_promises():
    assert "mcakd" in objectives()
    for name, options in objectives().items():
        assert issubclass(options, ObjectiveOptions)
        assert parameters_of(training_module(name).distil) == ["student", "teacher", "options", "session"]


def test_options_of_everything_are_read_without_torch():
    code = (
        "import sys; from wavefoundry.networks.family import families, serving_module;"
        "from wavefoundry.objectives.objective import objectives; from wavefoundry.evaluation.methods import methods;"
        "found = [*families(), *objectives(), *methods()];"
        "print(sorted({'torch', 'transformers', 'sionna', 'onnx'} & set(sys.modules)), *found)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [
        "[]", "convolutional", "csi_alm", "csi_alm_light", "gaussian_mixture", "karhunen_loeve", "llm4cp", "lmmse",
        "lwm", "lwm_temporal", "recurrent", "spectral_predictor", "transformer_predictor", "truncated_angle_delay",
        "wifo", "wifo_cf", "wimamba", "attention_relations", "mcakd", "output_matching", "autoregression", "kalman",
        "pooled_autoregression", "prony", "reciprocity", "sample_and_hold",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_what_it_should(name):
    network = NETWORKS[name]()
    statistics, tunable = name in ("gaussian_mixture", "lmmse"), name in ("lwm", "wimamba")
    predicts = statistics or name in ("spectral_predictor", "wifo", "lwm_temporal_predictor", *SEQUENCES)
    embeds = not statistics and name not in ("spectral_predictor", *SEQUENCES, *CODECS)
    sequences = name in ("wifo", "lwm_temporal", "lwm_temporal_predictor")
    assert isinstance(network, Embedder) == embeds
    assert isinstance(network, Predictor) == predicts
    assert isinstance(network, SequenceEmbedder) == sequences
    assert isinstance(network, Tunable) == tunable
    assert isinstance(network, FeedbackCodec) == (name in CODECS)


EMBEDDERS = [*EMBEDDING, "lwm_temporal_predictor"]
# Slots and subcarriers that are asked for after 6 of 8; of some networks that know time alone, with other options.
QUESTIONS = [(2, 0), (0, 8), (2, 8)]


def answered(network, name):
    """Whether a network answers a question, by its options."""
    whole = facts(8, 8, 16, delay_fraction=network.config.delay_fraction)
    return [wanted for wanted in QUESTIONS if network.options.why_not_predict(whole, (6, 8), wanted) is None]


@pytest.mark.parametrize("name", PREDICTING)
def test_silence_is_continued_by_silence_and_says_nothing_to_others(name):
    network = with_weights_that_count(NETWORKS[name]())
    known = torch.randn(4, 6, 8, 8, dtype=torch.complex64)
    known[1:3] = 0
    assert answered(network, name)
    for wanted in answered(network, name):
        found = network.predict(known, *wanted)
        assert found.isfinite().all() and found[[0, 3]].any() and not found[1:3].any()
        torch.testing.assert_close(found[[0, 3]], network.predict(known[[0, 3]], *wanted), rtol=0, atol=0)
        assert not network.predict(known[1:3], *wanted).any()


@pytest.mark.parametrize("name", EMBEDDERS)
def test_representations_of_silence_are_finite_and_say_nothing_to_others(name):
    network = with_weights_that_count(NETWORKS[name]())
    csi = torch.randn(3, 4, 8, 16, dtype=torch.complex64)
    csi[1] = 0
    size = EXAMPLES[name.removesuffix("_predictor")].granularities
    calls = [lambda some: network.embed(some[:, 0], size and min(size))]
    if isinstance(network, SequenceEmbedder):
        calls.append(network.embed_sequence)
    for embed in calls:
        found, alone = embed(csi), embed(csi[[0, 2]])
        for part in (found.class_token, found.patches, found.mean, found.scale):
            assert part is None or part.isfinite().all()
        torch.testing.assert_close(found.patches[[0, 2]], alone.patches)


@pytest.mark.parametrize("name", PREDICTING)
def test_any_complex_type_and_any_type_of_weights_is_taken_by_predictors(name):
    network = with_weights_that_count(NETWORKS[name]())
    known = torch.randn(2, 6, 8, 8, dtype=torch.complex64)
    wanted = answered(network, name)[0]
    expected = network.predict(known, *wanted)
    torch.testing.assert_close(network.predict(known.to(torch.complex128), *wanted), expected)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        found = network.to(dtype).predict(known, *wanted)
        assert found.dtype == torch.complex64 and found.isfinite().all()
        assert dtype != torch.float64 or (found - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("name", EMBEDDERS)
def test_any_complex_type_and_any_type_of_weights_is_taken_by_embedders(name):
    network = with_weights_that_count(NETWORKS[name]())
    csi = torch.randn(2, 8, 16, dtype=torch.complex64)
    sizes = EXAMPLES[name.removesuffix("_predictor")].granularities
    size = sizes and min(sizes)
    expected = network.embed(csi, size).mean
    torch.testing.assert_close(network.embed(csi.to(torch.complex128), size).mean, expected)
    with pytest.raises(InputError, match=r"complex64 of shape \(8, 16\); allowed: a complex tensor \(batch, antenna"):
        network.embed(csi[0], size)
    with pytest.raises(InputError, match="csi is float32 of shape"):
        network.embed(csi.real, size)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        found = network.to(dtype).embed(csi, size).mean
        assert found.isfinite().all()
        assert dtype != torch.float64 or (found - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("name", EMBEDDING)
def test_options_say_how_many_layers_may_be_trained_and_which_patches_there_are(name):
    network, options = NETWORKS[name](), EXAMPLES[name]
    assert options.tunable_layers == (len(network.layers) if isinstance(network, Tunable) else 0)
    csi = torch.randn(1, 8, 16, dtype=torch.complex64)
    if options.granularities is None:
        assert network.embed(csi).patches.isfinite().all()
    else:
        assert all(network.embed(csi, size).patches.isfinite().all() for size in options.granularities)
        with pytest.raises(InputError, match="patch_size"):
            network.embed(csi)


sizes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 18))


@pytest.mark.parametrize("name", EMBEDDING)
@settings(max_examples=40)
@given(sizes=sizes, fraction=st.sampled_from([0.25, 0.5, 1.0]))
def test_options_know_beforehand_which_snapshots_a_network_embeds(name, sizes, fraction):
    _, antennas, subcarriers = sizes
    options = {
        "lwm": lwm.options(max_seq_len=20),
        "lwm_temporal": lwm_temporal.options(architecture={"same_frame_window": 1, "max_seq_len": 12}),
    }.get(name, EXAMPLES[name])
    network = model_module(name).build(options, fraction).eval()
    reason = options.why_not_embed(facts(*sizes, delay_fraction=fraction))
    csi = torch.randn(1, antennas, subcarriers, dtype=torch.complex64)
    # A network with a choice takes the finest patches that fit.
    patch_size = options.granularities and min(options.granularities)
    if reason is None:
        assert network.embed(csi, patch_size).patches.isfinite().all()
    else:
        with pytest.raises(InputError):
            network.embed(csi, patch_size)


@pytest.mark.parametrize(
    "name", ["gaussian_mixture", "lmmse", "lwm_temporal", "spectral_predictor", "wifo", *SEQUENCES]
)
@settings(max_examples=60)
@given(
    known=st.tuples(st.integers(1, 6), st.integers(1, 14)),
    antennas=st.integers(1, 9),
    wanted=st.tuples(st.integers(0, 4), st.integers(0, 9)).filter(any),
    rest=st.tuples(st.integers(0, 2), st.integers(0, 9)),
    fraction=st.sampled_from([0.25, 0.3, 0.5, 1.0]),
)
def test_options_know_beforehand_which_questions_a_network_answers(name, known, antennas, wanted, rest, fraction):
    """Of a data set that has more slots and subcarriers than the question is about."""
    options = EXAMPLES[name].changed({"architecture": {"same_frame_window": 1, "max_seq_len": 60}}
                                     if name == "lwm_temporal" else {})  # fmt: skip
    network = fresh(name, options, fraction).eval()
    slots, subcarriers = (sum(parts) for parts in zip(known, wanted, rest, strict=True))
    whole = facts(slots, antennas, subcarriers, delay_fraction=fraction)
    csi = torch.randn(1, known[0], antennas, known[1], dtype=torch.complex64)
    if options.why_not_predict(whole, known, wanted) is None:
        assert network.predict(csi, *wanted).isfinite().all()
    elif options.why_not(whole) is None and slots > 1:
        with pytest.raises(InputError):
            network.predict(csi, *wanted)


def test_snapshots_and_other_arrays_are_refused_in_words():
    for name in ("gaussian_mixture", "lmmse", "lwm_temporal", "wifo"):
        assert "one slot" in EXAMPLES[name].why_not(facts(slots=1))
        assert "one slot" in EXAMPLES[name].why_not_predict(facts(slots=1), (1, 8), (0, 8))
    for array in ((2, 1, 4), (1, 2, 4)):
        assert "no uniform linear one" in EXAMPLES["lwm_temporal"].why_not(facts(array=array))
        assert EXAMPLES["wifo"].why_not(facts(array=array)) is None
        assert EXAMPLES["spectral_predictor"].why_not(facts(array=array)) is None
    for name in ("lwm", "wimamba"):
        assert EXAMPLES[name].why_not_predict(facts(), (4, 16), (4, 0)) == "this family does not predict"


def test_a_student_is_checked_against_its_teacher():
    values = tiny_parameters()["distill"]["tiny_wifo"]["objective"]
    mcakd = objectives()["mcakd"].model_validate({key: value for key, value in values.items() if key != "kind"})
    teacher, student = wifo.options(), wifo.options(architecture={"hidden_size": 16})
    assert mcakd.why_not("wifo", student, "wifo", teacher) is None
    for changes, word in (({"hidden_size": 64}, "hidden_size 64"), ({"decoder_depth": 2}, "decoder_depth 2"),
                          ({"heads": 2}, "heads 2"), ({"patch_size": [2, 2, 4]}, "patch_size")):  # fmt: skip
        assert word in mcakd.why_not("wifo", student.changed({"architecture": changes}), "wifo", teacher)
    assert "teacher is a lwm, the student a wifo" in mcakd.why_not("wifo", student, "lwm", lwm.options())


trees = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@given(trees, trees)
def test_changes_win_and_nothing_else_is_lost(base, changes):
    result = merged(base, changes)
    assert result.keys() == base.keys() | changes.keys()
    for key, value in result.items():
        if key not in changes:
            assert value == base[key]
        elif isinstance(changes[key], dict) and isinstance(base.get(key), dict):
            assert value == merged(base[key], changes[key])
        else:
            assert value == changes[key]
    assert merged(result, changes) == result and merged(base, {}) == base
