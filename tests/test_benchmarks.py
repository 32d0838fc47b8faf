"""Pages of docs/results can be written by the command that stands at their top, with every figure that was measured."""

import importlib
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


WRITTEN = re.compile(r"^Written by `python -m benchmarks\.results_page docs/results/(\S+) ([a-z0-9_ ]+) --title", re.M)
PAGES = {page.name: page.read_text() for page in sorted((PROJECT / "docs/results").glob("*.md"))}


def test_every_page_of_results_was_written_by_a_command():
    by_hand = [name for name, text in PAGES.items() if not re.search(r"^Written by `python -m ", text, re.M)]
    assert by_hand == []


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "benchmarks.results_page" in text])
def test_the_command_at_the_top_of_a_page_writes_its_sections(page):
    ((name, benchmarks),) = WRITTEN.findall(PAGES[page])
    assert name == page
    modules = [importlib.import_module(f"benchmarks.{benchmark}") for benchmark in benchmarks.split()]
    expected = [" ".join(module.__doc__.partition("\n\n")[0].split()).rstrip(".") for module in modules]
    assert re.findall(r"^## (.*)$", PAGES[page], re.M) == expected


def test_an_unknown_benchmark_is_one_line():
    with pytest.raises(InputError, match=r"there is no benchmark 'stoer', found: csi_from_paths, .*store, twin"):
        section("stoer")
