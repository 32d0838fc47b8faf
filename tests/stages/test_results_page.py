"""The costs that a page of results tells come from the files of the trainings."""

import json

import pytest

from stages.paths import history_file, training_time_file
from stages.results_page import teacher_passes_saved, training_seconds
from stages.training import write_history


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "expected"), [({"0": 10.0, "1": 30.0}, 20.0), ({"0": 10.0, "1": None}, 10.0), ({"0": None}, None)]
)
def test_the_time_of_a_training_is_the_mean_over_whole_ones(seconds, expected):
    path = training_time_file("tiny")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"seconds": seconds}))
    assert training_seconds("tiny") == expected


def test_passes_saved_are_those_at_the_end_of_the_training_mean_over_seeds():
    shares = {0: [1.0, 1.0, 2 / 3, 3 / 4], 1: [1.0, 1 / 2, 2 / 3, 1 / 2]}
    write_history(
        history_file("tiny"),
        {
            seed: [
                {"epoch": epoch + 1, "loss": 1.0, "phase": "autonomous", "teacher_passes_saved": share}
                for epoch, share in enumerate(saved)
            ]
            for seed, saved in shares.items()
        },
    )
    write_history(history_file("alone"), {0: [{"epoch": 1, "loss": 1.0}]})
    assert teacher_passes_saved("tiny") == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert teacher_passes_saved("alone") is None
