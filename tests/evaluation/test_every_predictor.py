"""What every predictor keeps, whether it is a network of any family or a method without training."""

import pytest
import torch

from tests.networks.every_family import NETWORKS, PREDICTING, with_weights_that_count
from tests.predictors.example import OPTIONS
from wavefoundry.errors import InputError
from wavefoundry.evaluation.method_predictor import MethodPredictor
from wavefoundry.evaluation.methods import methods
from wavefoundry.networks.capabilities import ErrorEstimator, Predictor

EVERY = [*PREDICTING, *methods()]
QUESTIONS = [(2, 0), (0, 8), (2, 8), (0, 1), (1, 1)]


@pytest.fixture(scope="module", params=EVERY)
def predictor(request) -> Predictor:
    if request.param in methods():
        return MethodPredictor(request.param, methods()[request.param](**OPTIONS[request.param]))
    return with_weights_that_count(NETWORKS[request.param]())


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), complex(1, float("-inf"))])
def test_values_that_are_not_finite_are_refused_in_one_line_that_names_the_sample(predictor, value):
    known = noise(4, 6, 8, 8)
    known[2, 3, 1, 5] = value
    asks = [predictor.predict, *([predictor.predict_with_error] if isinstance(predictor, ErrorEstimator) else [])]
    for ask in asks:
        with pytest.raises(InputError, match=r"^csi has values that are not finite, first in sample 2; allowed: .*$"):
            ask(known, 2, 0)


@pytest.mark.parametrize("wanted", QUESTIONS)
@pytest.mark.parametrize("shape", [(6, 1, 8), (6, 8, 1), (6, 1, 1), (1, 8, 8), (1, 1, 1)])
def test_a_single_entry_along_an_axis_is_answered_or_refused_in_one_line(predictor, shape, wanted):
    """Antennas and subcarriers of which there is one, and slots."""
    slots, antennas, subcarriers = shape
    try:
        found = predictor.predict(noise(2, *shape), *wanted)
    except InputError as error:
        assert str(error) and "\n" not in str(error)
        return
    assert found.shape == (2, wanted[0] or slots, antennas, wanted[1] or subcarriers) and found.isfinite().all()
