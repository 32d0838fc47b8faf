"""What predictors expect of themselves, from the error of an entry to the points of a curve."""

import numpy as np
import pandas
import pytest
import torch

from wavefoundry.evaluation.calibration import GROUPS, calibration_points
from wavefoundry.evaluation.metrics import expected_nmse, nmse
from wavefoundry.evaluation.prediction import predict_in_batches
from wavefoundry.evaluation.results import as_table, table_of_samples
from wavefoundry.plots.calibration import draw_calibration
from wavefoundry.plots.model_styles import model_styles
from wavefoundry.report.prediction import expected_error_table


class PosteriorMean:
    """Of complex Gaussian entries of unit power in white noise of a known power."""

    def __init__(self, noise: float):
        self.gain = 1 / (1 + noise)
        self.error = noise / (1 + noise)

    def predict(self, known, slots, subcarriers):
        return self.gain * known

    def predict_with_error(self, known, slots, subcarriers):
        return self.gain * known, torch.full_like(known[:, :, 0].real, self.error)


def drawn(noise, samples=400):
    generator = torch.Generator().manual_seed(0)
    csi, white = torch.randn(2, samples, 4, 8, 16, dtype=torch.complex64, generator=generator)
    return csi, csi + noise**0.5 * white


@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
def test_a_posterior_mean_expects_the_error_that_it_makes(noise):
    csi, known = drawn(noise)
    found, expected = predict_in_batches(PosteriorMean(noise), known, (4, 0), 64)
    assert expected.shape == (len(csi),)
    assert expected.mean().item() == pytest.approx(nmse(found, csi).mean().item(), rel=0.02)


def test_nothing_expected_of_silence():
    silent = torch.zeros(1, 2, 3, 4, dtype=torch.complex64)
    assert expected_nmse(silent, torch.zeros(1, 2, 4)).tolist() == [0.0]


def samples(expected, measured, model="careful", dataset="d1"):
    labels = {"model": model, "seed": 0, "question": "time", "dataset": dataset, "split": "test"}
    return table_of_samples(
        [labels | {"sample": np.arange(len(measured)), "nmse": measured, "expected_nmse": expected}]
    )


def test_groups_are_ordered_by_what_is_expected_and_hold_means():
    expected = np.repeat(np.logspace(-3, -1, GROUPS), 7)
    measured = 2 * expected * np.tile([0.5, 1.5, 1, 1, 1, 0.2, 1.8], GROUPS)
    order = np.random.default_rng(0).permutation(len(expected))
    table = pandas.concat(
        [samples(expected[order], measured[order]), samples(expected, measured / 9, dataset="d2"),
         samples(None, measured, model="silent")]
    )  # fmt: skip
    points = calibration_points(table, "time", ["d1"])
    assert points.keys() == {"careful"}
    for place, (x, y) in enumerate(points["careful"]):
        assert x == pytest.approx(10 * (-3 + 2 * place / (GROUPS - 1)))
        assert y - x == pytest.approx(10 * np.log10(2))
    assert calibration_points(table, "both", ["d1"]) == {}


def test_nothing_is_drawn_where_nothing_is_expected(tmp_path):
    styles = model_styles(["careful", "silent"], ["silent"])
    values = np.linspace(0.1, 0.5, 20)
    assert not draw_calibration(samples(None, values, model="silent"), {"time": ["d1"]}, styles, tmp_path / "a.png")
    assert draw_calibration(samples(values, values), {"time": ["d1"]}, styles, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_the_table_tells_how_much_more_is_expected_than_measured():
    rows = [
        {"model": model, "dataset": dataset, "question": "time", "split": "test", "metric": metric, "value": value}
        for model, dataset, metric, value in [
            ("careful", "d1", "nmse", 0.1), ("careful", "d1", "nmse_expected", 0.3),
            ("careful", "d2", "nmse", 0.3), ("careful", "d2", "nmse_expected", 0.5),
            ("careful", "new", "nmse", 9.0), ("careful", "new", "nmse_expected", 0.1),
            ("silent", "d1", "nmse", 0.2),
        ]
    ]  # fmt: skip
    table = expected_error_table(as_table(rows), {"time": ["d1", "d2"]})
    assert "| careful | +3.01 |" in table and "silent" not in table
    assert expected_error_table(as_table(rows[-1:]), {"time": ["d1", "d2"]}) is None
