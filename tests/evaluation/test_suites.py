"""Suites ask the same questions about the same samples with the same noise; only the known block is impaired."""

import numpy as np
import pandas
import pytest
import torch

from tests.evaluation.test_prediction import csi, question, sample_and_hold
from wavefoundry.csi.impairment_options import CommonPhaseError, DroppedSlots
from wavefoundry.csi.impairments import Impairment
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.prediction import score
from wavefoundry.evaluation.results import table_of_samples
from wavefoundry.evaluation.suite_options import UNIMPAIRED, SuiteOptions
from wavefoundry.evaluation.suites import (
    CONDITION_COLUMNS,
    CONDITION_SAMPLE_COLUMNS,
    condition_differences,
    condition_of,
    nmse_under,
)

CHOSEN = [0, 5, 40]


def turned(deviation):
    return Impairment(CommonPhaseError(kind="common_phase_error", deviation=deviation), 5e-4, 180e3)


def dropped(probability):
    return Impairment(DroppedSlots(kind="dropped_slots", probability=probability), 5e-4, 180e3)


@pytest.mark.parametrize("name", ["time", "frequency", "both"])
def test_what_impairs_nothing_gives_the_score_of_the_same_samples_to_the_bit(name):
    asked = question(name, 10.0, 3)
    whole = score(sample_and_hold(), csi(), asked, 64, 10.0).nmse[CHOSEN]
    assert torch.equal(nmse_under(sample_and_hold(), csi(), asked, turned(0.0), CHOSEN, 2), whole)


def test_the_target_is_clean():
    """Of silence nothing is predicted, which is 0 dB off the true channel."""
    found = nmse_under(sample_and_hold(), csi(), question("time", 20.0, 0), dropped(1.0), CHOSEN, 64)
    assert found.tolist() == [1.0] * 3


def test_holding_a_constant_channel_scores_the_phase_of_its_last_slot():
    """|exp(j phi) - 1|^2 = 2 (1 - cos phi), 2 (1 - exp(-deviation^2 / 2)) on average."""
    constant = csi(2000, slots=1).expand(-1, 2, -1, -1)[..., :2].contiguous()
    asked = question("time", 200.0, 0)
    found = nmse_under(sample_and_hold(), constant, asked, turned(0.5), range(2000), 500)
    assert found.mean().item() == pytest.approx(2 * (1 - np.exp(-(0.5**2) / 2)), rel=0.1)


def test_the_draws_of_an_impairment_are_not_those_of_the_noise():
    """Whatever the seed, a sample's slots are turned by other numbers than its noise was made of."""
    for seed in (0, 2**32 - 1):
        asked = question("time", 0.0, seed)
        known, _, _ = asked.split(csi())
        noise = (known - csi()[:, :4])[:, :, 0, 0].real.flatten()
        drawn = torch.Generator().manual_seed((seed + 1) % 2**32)
        phase = (turned(0.3).apply(known, drawn) / known)[:, :, 0, 0].angle().flatten()
        assert abs(torch.corrcoef(torch.stack([noise, phase]))[0, 1]) < 0.2


def suite(impairments, datasets):
    return SuiteOptions(questions=["time"], datasets=datasets, samples=None, impairments=impairments)


DROPS = DroppedSlots(kind="dropped_slots", probability=0.1)
SUITES = {"robust": suite({"drops": DROPS}, None), "new": suite({}, ["d2", "d3"])}
# NMSE by suite, model and condition.
LEVELS = {
    ("robust", "hold"): {UNIMPAIRED: 0.1, "drops": 1.0},
    ("robust", "net"): {UNIMPAIRED: 0.01, "drops": 0.1},
    ("new", "hold"): {"d2": 0.1, "d3": 0.1},
    ("new", "net"): {"d2": 0.001},
}
BOOTSTRAP = Bootstrap(resamples=100, level=0.9, seed=0)


def samples():
    generator = np.random.default_rng(0)
    rows = []
    for (name, model), by_condition in LEVELS.items():
        for condition, level in by_condition.items():
            datasets = ["d1", "d2"] if name == "robust" else [condition]
            # The last one is no data set that everybody is compared on.
            for dataset in [*datasets, "d9"] if name == "robust" else datasets:
                values = {"nmse": level * generator.uniform(0.9, 1.1, 6), "sample": np.arange(6)}
                labels = {"suite": name, "condition": condition, "model": model, "seed": 0 if model == "net" else None}
                rows.append(labels | {"question": "time", "dataset": dataset, "trajectory": np.arange(6)} | values)
    return table_of_samples(rows, CONDITION_SAMPLE_COLUMNS)


def told(found, condition, model, other=None):
    rows = found[(found["condition"] == condition) & (found["model"] == model)]
    (row,) = rows[rows["other"].isna() if other is None else rows["other"] == other].itertuples()
    assert row.low_db <= row.difference_db <= row.high_db
    return row.difference_db


def test_every_condition_has_its_means_and_differences():
    compared, pairs = {"time": ["d1", "d2"]}, {"time": [("net", "hold")]}
    found = condition_differences(samples(), SUITES, compared, pairs, BOOTSTRAP)
    assert list(found.columns) == list(CONDITION_COLUMNS)
    assert told(found, UNIMPAIRED, "hold") == pytest.approx(-10, abs=0.3)
    assert told(found, "drops", "hold") == pytest.approx(0, abs=0.3)
    assert told(found, "drops", "net", "hold") == pytest.approx(-10, abs=0.5)
    # Data sets one by one; what one model does not answer is left out of it alone.
    assert told(found, "d2", "net", "hold") == pytest.approx(-20, abs=0.5)
    assert told(found, "d3", "hold") == pytest.approx(-10, abs=0.3)
    assert set(found.loc[found["condition"] == "d3", "model"]) == {"hold"}
    # What is not compared has no part in the mean.
    only = samples()[lambda table: table["dataset"] != "d9"]
    pandas.testing.assert_frame_equal(found, condition_differences(only, SUITES, compared, pairs, BOOTSTRAP))


def test_no_suites_and_no_answers_are_empty_tables():
    empty = table_of_samples([], CONDITION_SAMPLE_COLUMNS)
    assert list(empty.columns) == list(CONDITION_SAMPLE_COLUMNS) and empty.empty
    for suites in ({}, SUITES):
        found = condition_differences(empty, suites, {"time": ["d1"]}, {}, BOOTSTRAP)
        assert list(found.columns) == list(CONDITION_COLUMNS) and found.empty


def test_conditions_are_impairments_or_data_sets():
    assert condition_of(SUITES["robust"], "d1") == UNIMPAIRED and condition_of(SUITES["new"], "d1") == "d1"
    with pytest.raises(ValueError, match=r"impairments\.unimpaired: the name stands for"):
        suite({UNIMPAIRED: DROPS}, None)
    with pytest.raises(ValueError, match="datasets: 'd1' is there twice"):
        suite({}, ["d1", "d1"])
