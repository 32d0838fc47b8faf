"""Predictors without training are found by name, travel alone, and stand beside networks."""

import ast
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.predictors.example import OPTIONS
from wavefoundry.errors import InputError
from wavefoundry.evaluation.method_predictor import MethodPredictor
from wavefoundry.evaluation.methods import make, method_file, methods, why_not_predict
from wavefoundry.networks.capabilities import Embedder, Predictor


def test_the_methods_of_the_project_are_found():
    assert OPTIONS.keys() == methods().keys()


@pytest.mark.parametrize("name", methods())
def test_a_file_imports_nothing_that_is_not_where_it_is_served(name):
    allowed = {"numpy", "pydantic", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(method_file(name).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert {imported.partition(".")[0] for imported in names} <= allowed


@pytest.mark.parametrize("name", OPTIONS)
def test_an_unknown_key_is_refused_and_named(name):
    methods()[name](**OPTIONS[name])
    with pytest.raises(ValidationError, match="horizon"):
        methods()[name](**OPTIONS[name], horizon=3)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("wanted", [(3, 0), (0, 2), (3, 2)])
def test_beside_networks_it_predicts_what_it_predicts_in_numpy(name, wanted):
    options = methods()[name](**OPTIONS[name])
    known = torch.randn(2, 6, 4, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    predictor = MethodPredictor(name, options)
    assert isinstance(predictor, Predictor) and not isinstance(predictor, Embedder)
    found = predictor.predict(known, *wanted)
    assert found.dtype == torch.complex64 and found.isfinite().all()
    assert found.shape == (2, wanted[0] or 6, 4, wanted[1] or 8)
    assert np.array_equal(found.numpy(), make(name, options).predict(known.numpy(), *wanted))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("wanted", [(3, 0), (0, 2), (3, 2)])
def test_silence_is_continued_by_silence_and_says_nothing_to_others(name, wanted):
    options = methods()[name](**OPTIONS[name])
    known = torch.randn(4, 6, 4, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    alone = make(name, options).predict(known[[0, 3]].numpy(), *wanted)
    known[1:3] = 0
    for found in (
        make(name, options).predict(known.numpy(), *wanted),
        MethodPredictor(name, options).predict(known, *wanted).numpy(),
    ):
        assert np.isfinite(found).all() and not found[1:3].any()
        np.testing.assert_array_equal(found[[0, 3]], alone)
    assert not make(name, options).predict(known[1:3].numpy(), *wanted).any()


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("wanted", [(0, 0), (-1, 2), (2, -1)])
def test_nothing_and_less_than_nothing_is_no_question(name, wanted):
    predictor = MethodPredictor(name, methods()[name](**OPTIONS[name]))
    with pytest.raises(InputError, match=f"slots is {wanted[0]} and subcarriers is {wanted[1]}; allowed: whole"):
        predictor.predict(torch.zeros(1, 2, 2, 2, dtype=torch.complex64), *wanted)


@pytest.mark.parametrize("name", ["kalman", "prony"])
@given(known=st.tuples(st.integers(1, 5), st.integers(1, 5)), wanted=st.tuples(*[st.integers(0, 2)] * 2).filter(any))
def test_a_size_that_a_method_says_it_cannot_take_is_one_clear_error(name, known, wanted):
    options = methods()[name](**OPTIONS[name])
    reason = why_not_predict(options, known, wanted)
    csi = torch.ones(1, known[0], 2, known[1], dtype=torch.complex64)
    if reason is None:
        assert MethodPredictor(name, options).predict(csi, *wanted).isfinite().all()
        return
    with pytest.raises(InputError) as error:
        MethodPredictor(name, options).predict(csi, *wanted)
    assert str(error.value) == reason and "\n" not in reason
