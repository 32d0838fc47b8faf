"""Who only tries something is known by what DVC and the flow say."""

import pytest

from stages.trials import EXPERIMENT, OWN_PARAMETERS, trial


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, None),
        ({EXPERIMENT: "hasty-gnat"}, "the experiment hasty-gnat"),
        ({OWN_PARAMETERS: "seed-7"}, "the run seed-7 with parameters of its own"),
        ({EXPERIMENT: "hasty-gnat", OWN_PARAMETERS: "seed-7"}, "the experiment hasty-gnat"),
    ],
)
def test_experiments_and_runs_with_parameters_of_their_own(monkeypatch, environment, told):
    for name in (EXPERIMENT, OWN_PARAMETERS):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert trial() == told
