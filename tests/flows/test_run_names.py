"""Names of runs say what runs."""

import pytest

from flows.run_names import name_of_run


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "all stages"),
        ({"targets": ("csi@munich", "teach"), "force": (), "study": None, "seed": None}, "csi@munich, teach"),
        ({"targets": ["a", "b", "c", "d", "e"]}, "a, b, c and 2 more"),
        ({"force": ["pretrain", "teach", "distill"]}, "all stages, anew: pretrain, teach, distill"),
        ({"study": "feedback", "seed": 0}, "all stages (feedback_seed-0)"),
        ({"targets": ["report"], "scenarios": ["munich", "etoile"]}, "report (munich+etoile)"),
    ],
)
def test_a_run_is_called_by_what_it_does(parameters, name):
    assert name_of_run(parameters) == name
