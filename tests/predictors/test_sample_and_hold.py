"""The last known values are held."""

import numpy as np
import pytest

from tests.predictors.example import on_grid_paths
from wavefoundry.predictors.sample_and_hold import Options, Predictor


def test_repeats_the_last_known_value():
    csi = on_grid_paths()
    assert np.array_equal(Predictor(Options()).predict(csi[:, :8], 2, 0), csi[:, [7, 7]])
    assert np.array_equal(Predictor(Options()).predict(csi[..., :5], 0, 2), csi[..., [4, 4]])


def test_repeats_the_last_subcarrier_of_the_last_slot_where_both_are_asked_for():
    csi = on_grid_paths()
    both = Predictor(Options()).predict(csi[:, :8, :, :5], 3, 2)
    assert both.shape == (1, 3, 8, 2)
    assert np.array_equal(both, np.broadcast_to(csi[:, 7:8, :, 4:5], both.shape))


@pytest.mark.parametrize("wanted", [(2, 0), (0, 2), (2, 2)])
def test_a_constant_channel_is_continued_exactly(wanted):
    csi = np.full((2, 4, 3, 5), 2 - 1j, np.complex64)
    predicted = Predictor(Options()).predict(csi, *wanted)
    assert predicted.dtype == np.complex64 and (predicted == 2 - 1j).all()
