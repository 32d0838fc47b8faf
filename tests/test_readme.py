"""The README quotes the page of results that the study has written, figure by figure; intervals stay on the page."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def cells(line: str) -> list[str]:
    without_intervals = re.sub(r" \[[^]]*, [^]]*\]", "", line)
    return [cell.strip().strip("*") for cell in without_intervals.strip().strip("|").split("|")]


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table whose header begins with `heading`, by their first cell."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|") and cells(line)[0] == heading)
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *others = cells(line)
        found[name.strip("`")] = others
    return found


def test_figures_of_the_readme_are_those_of_the_page_of_results():
    quoted = rows((PROJECT / "README.md").read_text(), "model")
    measured = rows((PROJECT / "docs/results/study.md").read_text(), "model")
    for name, (_, *figures) in quoted.items():
        if any(figures):
            assert [figure or "-" for figure in figures] == measured[name][: len(figures)], name
    assert {name for name, (_, *figures) in quoted.items() if any(figures)} == set(measured)
