"""Each data set is told in a sentence made of its parameters, and delays in ns."""

from pathlib import Path

import pytest
import yaml

from tests.report.markdown import cells
from wavefoundry.imports.facts import facts_of
from wavefoundry.report.datasets import dataset_sentence, figures_table
from wavefoundry.twin.options import Scenario

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["scenarios"]


def sentence(name: str, line_of_sight: float | None = 0.25, **networks: list[str]) -> str:
    dataset = Scenario.model_validate(DEFAULT[name])
    found = {"learners": [], "held_out": [], "networks": ["one", "two"]} | networks
    return dataset_sentence(name, dataset, facts_of(dataset, 0.25), line_of_sight, **found)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("munich", "ray-traced in the scene munich at 3.5 GHz, 1 x 16 antennas; samples of 16 slots of 0.5 ms and 32 "
         "subcarriers 180 kHz apart, 25% of them in line of sight"),
        ("munich_28ghz", "at 28 GHz, 1 x 64 antennas; samples of one slot of 0.5 ms and 16 subcarriers 360 kHz apart"),
        ("uma_spot", "drawn from the channel model UMa of TR 38.901 without line of sight at 2.4 GHz, 4 x 4 antennas "
         "of two polarisations; samples of 20 slots of 0.5 ms and 48 subcarriers"),
    ],
)  # fmt: skip
def test_a_data_set_is_told_in_a_sentence(name, told):
    assert told in sentence(name)


def test_a_data_set_says_who_learns_from_it():
    assert sentence("munich", learners=["one", "two"]).endswith("Networks that learn from it: all.")
    told = sentence("munich", None, learners=["two"], held_out=["one"])
    assert told.endswith("line of sight not known. Networks that learn from it: two; held out from: one.")
    assert sentence("munich", held_out=["one", "two"]).endswith(
        "Networks that learn from it: none; held out from: all."
    )


def test_figures_have_units_and_delays_are_told_in_ns():
    summary = {"users": 3, "delay_spread_median_s": 5.59053e-08, "channel_gain_median_db": -96.7, "speed_mean_m_s": 6.3}
    found = cells(figures_table({"d1": summary | {"why_not_reached": "too far"}, "d2": {"users": 4}}))
    assert found["delay spread median [ns]"] == ["55.91", "-"]
    assert found["channel gain median [dB]"] == ["-96.7", "-"] and found["speed mean [m/s]"] == ["6.3", "-"]
    assert found["users"] == ["3", "4"] and found["why not reached"] == ["too far", "-"]
