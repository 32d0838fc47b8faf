"""Pages of docs/results can be written by the command that stands at their top, with every figure that was measured."""

import re
from pathlib import Path

import pytest

from benchmarks.results_page import every_figure, section
from wavefoundry.errors import InputError

PROJECT = Path(__file__).parents[1]


def test_every_figure_is_a_row_with_the_keys_that_lead_to_it():
    measured = {"benchmark": "store", "seconds": {"ours": 1.23456, "peers": [2, {"hdf5": 34.6}]}, "gpu": None}
    assert every_figure(measured).splitlines()[2:] == [
        "| benchmark | store |",
        "| seconds / ours | 1.235 |",
        "| seconds / peers / 1 | 2 |",
        "| seconds / peers / 2 / hdf5 | 34.6 |",
        "| gpu | None |",
    ]


@pytest.mark.parametrize("page", ["data.md", "models.md", "orchestration.md"])
def test_the_command_at_the_top_names_the_benchmarks_of_the_page(page):
    text = (PROJECT / "docs/results" / page).read_text()
    (names,) = re.findall(
        rf'`python -m benchmarks\.results_page docs/results/{page} --title "[^"]+" ([a-z0-9_ ]+)`', text
    )
    assert names.split() == re.findall(r"^## .*`python -m benchmarks\.([a-z0-9_]+)`$", text, re.MULTILINE)
    for name in names.split():
        assert (PROJECT / f"benchmarks/{name}.py").exists()


def test_an_unknown_benchmark_is_one_line():
    with pytest.raises(InputError, match=r"there is no benchmark 'stoer', found: csi_from_paths, .*store, twin"):
        section("stoer")
