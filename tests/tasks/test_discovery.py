"""Tasks are found by the names of their files, without the libraries that only their heads need."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from tests.evaluation.downstream.example import OPTIONS, entry, section
from wavefoundry.evaluation.downstream.task import DownstreamTask, TaskOptions, make, tasks, tasks_of
from wavefoundry.facts import Facts


def test_every_file_is_a_task():
    assert set(tasks()) == set(OPTIONS)
    for name, options in tasks().items():
        assert issubclass(options, TaskOptions)
        task = make(name, entry(name))
        assert isinstance(task, DownstreamTask) and task.title and task.metric


def test_parameters_are_checked_without_heavy_libraries():
    code = (
        "import sys; from wavefoundry.evaluation.downstream.task import tasks, make; found = tasks();"
        "import wavefoundry.evaluation.downstream.options, wavefoundry.evaluation.downstream.classification;"
        "print(sorted({'torch', 'sklearn', 'scipy', 'transformers', 'xarray'} & set(sys.modules)), len(found))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", str(len(OPTIONS))]


def test_an_entry_may_have_another_name_than_its_task():
    found = tasks_of(section(tasks={"soon": entry("beam_tracking", past=1), "los": entry("los")}))
    assert {name: task.title for name, task in found.items()} == {
        "soon": "beam tracking",
        "los": "line of sight or not",
    }
    assert found["soon"].options.past == 1


BAD_OPTIONS = [
    ("los", {"hidden": []}),
    ("los", {"width": 3}),
    ("beam_tracking", {"past": 0}),
    ("interpolation", {"pilot_spacing": [2]}),
]


@pytest.mark.parametrize(("task", "changes"), BAD_OPTIONS)
def test_bad_options_are_refused(task, changes):
    with pytest.raises(ValidationError):
        entry(task, **changes)


def facts(antennas: int, subcarriers: int) -> Facts:
    return Facts(1, antennas, subcarriers, (1, 1, antennas), 1.0, 0.5, 1e-3, 1e5, 3.5e9)


@pytest.mark.parametrize(("antennas", "subcarriers", "fits"), [(3, 5, True), (2, 8, False), (8, 4, False)])
def test_pilots_that_nothing_can_be_drawn_between_are_refused(antennas, subcarriers, fits):
    reason = entry("interpolation", pilot_spacing=[2, 4]).why_not(facts(antennas, subcarriers))
    assert (reason is None) == fits
    if not fits:
        assert f"[2, 4] leaves fewer than two pilots along an axis of the {antennas} antennas" in reason


def test_other_tasks_can_be_asked_of_all_channels():
    for name in set(OPTIONS) - {"interpolation"}:
        assert entry(name).why_not(facts(1, 1)) is None
