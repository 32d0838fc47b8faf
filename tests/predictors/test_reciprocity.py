"""The known band stands for the band above it."""

import numpy as np

from tests.predictors.example import on_grid_paths
from wavefoundry.predictors.reciprocity import Options, Predictor


def test_the_band_above_is_the_known_band_of_the_last_known_slot():
    csi = on_grid_paths()
    both = Predictor(Options()).predict(csi[:, :8, :, :5], 3, 5)
    assert np.array_equal(both, np.repeat(csi[:, 7:8, :, :5], 3, axis=1))
    assert np.array_equal(Predictor(Options()).predict(csi[..., :5], 0, 3), csi[..., :3])
    assert np.array_equal(Predictor(Options()).predict(csi[..., :3], 0, 5), csi[..., [0, 1, 2, 0, 1]])


def test_in_time_it_is_sample_and_hold():
    csi = on_grid_paths()
    assert np.array_equal(Predictor(Options()).predict(csi[:, :8], 2, 0), csi[:, [7, 7]])


def test_exact_where_all_paths_have_a_delay_of_whole_inverse_bandwidths():
    # Delays of k / (5 subcarrier spacings): the response repeats after five subcarriers.
    delays, gains = np.array([0, 2, 3]), np.array([1.0, 0.5j, -0.3])
    response = (gains * np.exp(-2j * np.pi * np.arange(10)[:, None] * delays / 5)).sum(1)
    csi = np.tile(response, (1, 4, 2, 1)).astype(np.complex64)
    found = Predictor(Options()).predict(csi[..., :5], 2, 5)
    np.testing.assert_allclose(found, csi[:, :2, :, 5:], atol=1e-6)
