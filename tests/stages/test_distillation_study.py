"""The studies of distillation compare like with like, and their sizes are those of the letter on Tiny-WiFo."""

from functools import cache

import pytest
import torch

from stages.overlay import compose
from stages.params import Params, parse
from tests.parameters import PROJECT
from wavefoundry.networks.wifo.model import build

LEARNT = {f"d{number}" for number in range(1, 17)}
# What a student's objective has that that of tiny_wifo has not.
CHANGES = {
    "tiny_wifo_no_attention": {"attention": False},
    "tiny_wifo_no_embedding": {"embedding": False},
    "tiny_wifo_no_hidden": {"hidden": False},
    "tiny_wifo_random": {"selection": "random"},
    "tiny_wifo_first": {"selection": "first"},
    "tiny_wifo_passive": {"autonomous_passive": None},
    "tiny_wifo_attention_only": {"embedding": False, "hidden": False},
    "tiny_wifo_per_sample": {"importance": "sample"},
    "tiny_wifo_plain": {"distance": "plain"},
    "tiny_wifo_before_residual": {"hidden_state": "before_residual"},
}
VERSIONS = ("tiny_wifo_v1", "tiny_wifo_v2", "tiny_wifo_v3")


@cache
def laid_over(name: str) -> Params:
    path = PROJECT / "studies" / name
    return parse(compose(path, PROJECT / "params.yaml"), path.name)


@pytest.fixture(params=["distillation.yaml", "distillation_paper.yaml"])
def study(request) -> Params:
    return laid_over(request.param)


@pytest.fixture(params=["distillation_ablations.yaml", "distillation_paper.yaml"])
def ablations(request) -> Params:
    return laid_over(request.param)


@pytest.fixture
def paper() -> Params:
    return laid_over("distillation_paper.yaml")


def test_all_learn_from_the_sixteen_sets_and_from_nothing_else(study):
    assert all(set(study.learnt_by(name)) == LEARNT for name in study.models)
    assert set(study.datasets) - LEARNT == {"d17", "d18", "d19"}
    assert all(set(datasets) == LEARNT for datasets in study.compared.values())


@pytest.mark.parametrize("name", ["distillation.yaml", "distillation_ablations.yaml", "distillation_paper.yaml"])
def test_all_students_have_one_teacher_as_many_updates_and_the_same_seeds(name):
    study = laid_over(name)
    first = study.models["tiny_wifo"]
    for name in study.distill:
        student = study.models[name]
        assert (student.teacher, student.seeds) == ("wifo", first.seeds)
        changed = {"learning_rate": first.options.training.learning_rate}
        assert student.options.training.model_copy(update=changed) == first.options.training, name
    assert len(first.seeds) >= 3


@pytest.mark.parametrize("name", CHANGES)
def test_an_ablation_changes_nothing_but_its_own_key(ablations, name):
    full, ablated = (ablations.models[one] for one in ("tiny_wifo", name))
    assert ablated.objective == full.objective.model_copy(update=CHANGES[name])
    assert ablated.objective != full.objective and ablated.options == full.options


def test_students_without_mcakd_and_smaller_ones_are_otherwise_those_with_it(study):
    full = study.models["tiny_wifo"]
    for name in ("tiny_wifo_no_kd", "tiny_wifo_lmkd"):
        assert study.models[name].options == full.options
    assert study.objective_name("tiny_wifo_no_kd") is None
    assert study.objective_name("tiny_wifo_lmkd") == "output_matching"
    for name in VERSIONS:
        assert study.models[name].objective == full.objective


def test_a_memory_is_another_reading_of_the_same_objective(ablations):
    full = ablations.models["tiny_wifo"]
    remembering = ablations.models["tiny_wifo_memory"].objective
    assert remembering.memory > 0 and remembering.model_copy(update={"memory": 0.0}) == full.objective


@pytest.mark.parametrize("name", ["distillation_rates.yaml", "distillation_paper.yaml"])
def test_the_rate_is_searched_alike_with_the_teacher_and_alone(name):
    study = laid_over(name)

    def rates(name):
        return [study.models[one].options.training.learning_rate for one in (f"{name}_half_rate", name,
                                                                           f"{name}_double_rate")]  # fmt: skip

    assert rates("tiny_wifo") == rates("tiny_wifo_no_kd")
    assert rates("tiny_wifo") == pytest.approx([rates("tiny_wifo")[1] * factor for factor in (0.5, 1, 2)])


def test_versions_halve_depth_and_width(study):
    def sizes(name):
        found = study.models[name].options.architecture
        return found.hidden_size, found.encoder_depth, found.decoder_depth

    width, *depths = sizes("wifo")
    half = [depth // 2 for depth in depths]
    assert sizes("tiny_wifo") == (width // 2, *depths)
    assert [sizes(name) for name in VERSIONS] == [(width // 2, *half), (width // 4, *depths), (width // 4, *half)]


def test_published_sizes_have_the_published_numbers_of_parameters(paper):
    """5.5 M and 21.6 M are told in the letter and in WiFo's paper; the others follow from the sizes of its layers.
    Fixed position codes and the like are not counted alike by everybody."""
    millions = {"wifo": 21.6, "tiny_wifo": 5.5, "tiny_wifo_v1": 2.81, "tiny_wifo_v2": 1.40, "tiny_wifo_v3": 0.73}
    for name, expected in millions.items():
        with torch.device("meta"):
            network = build(paper.models[name].options, 1.0)
        found = sum(weight.numel() for weight in network.parameters()) / 1e6
        assert found == pytest.approx(expected, rel=0.03), name
