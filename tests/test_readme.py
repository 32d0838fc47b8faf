"""The README quotes the pages of results that studies have written, figure by figure; intervals stay on the pages."""

import re
from pathlib import Path

import pytest

from wavefoundry.evaluation.claims import MARGIN_OF_ONE_SEED_DB

PROJECT = Path(__file__).parents[1]
# The pages that the tables of models in the README quote, in their order.
PAGES = ("docs/results/claims.md", "docs/results/study.md")


def cells(line: str) -> list[str]:
    without_spread = re.sub(r" \[[^]]*, [^]]*\]| ± [0-9.]+", "", line)
    return [cell.strip().strip("*") for cell in without_spread.strip().strip("|").split("|")]


def tables(text: str, heading: str) -> list[dict[str, list[str]]]:
    """The rows of the tables whose header begins with `heading`, by their first cell."""
    lines, found = text.splitlines(), []
    for start, line in enumerate(lines):
        if not line.startswith("|") or cells(line)[0] != heading:
            continue
        found.append({})
        for row in lines[start + 2 :]:
            if not row.startswith("|"):
                break
            name, *others = cells(row)
            found[-1][name.strip("`")] = others
    return found


@pytest.mark.parametrize(("number", "page"), enumerate(PAGES))
def test_figures_of_the_readme_are_those_of_the_pages_of_results(number, page):
    quoted = tables((PROJECT / "README.md").read_text(), "model")[number]
    measured = tables((PROJECT / page).read_text(), "model")[0]
    for name, (_, *figures) in quoted.items():
        if any(figures):
            assert [figure or "-" for figure in figures] == measured[name][: len(figures)], name


def test_every_model_of_the_claims_study_is_quoted():
    quoted, measured = (tables((PROJECT / page).read_text(), "model")[0] for page in ("README.md", PAGES[0]))
    assert set(quoted) == set(measured)


def test_the_weights_of_our_own_predictor_are_those_of_the_page():
    told = re.search(r"a network of ([0-9.]+) million weights", (PROJECT / "README.md").read_text())[1]
    (weights,) = (
        cell for cell in tables((PROJECT / PAGES[0]).read_text(), "model")[0]["spectral_predictor"] if "," in cell
    )
    assert f"{int(weights.replace(',', '')) / 1e6:.2f}" == told


def test_no_seeds_on_any_page_lie_apart_by_half_of_what_is_taken_of_a_single_one():
    pages = [path.read_text() for path in (PROJECT / "docs/results").glob("*.md")]
    decibels = r"-?[0-9]+\.[0-9]{2} (?:\[[^]]*\] )?± ([0-9.]+)"
    spreads = [float(spread) for page in pages for spread in re.findall(decibels, page)]
    assert len(spreads) > 100 and max(spreads) < MARGIN_OF_ONE_SEED_DB / 2
