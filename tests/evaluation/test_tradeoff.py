"""Error against cost: who is beaten by nobody."""

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.evaluation.tables import scores
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.tradeoff import Tradeoff, front_of, pareto_front, tradeoffs
from wavefoundry.plots.model_styles import model_styles
from wavefoundry.plots.tradeoff import draw_tradeoffs
from wavefoundry.report.tradeoff import tradeoff_section

costs = st.integers(0, 6).map(float)


@given(st.dictionaries(st.text("abcdef", min_size=1), st.tuples(costs, costs), max_size=12))
def test_the_front_is_everybody_whom_no_other_one_beats(places):
    def beaten(name):
        own = places[name]
        return any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in places.values())

    front = pareto_front(places)
    assert sorted(front) == sorted(name for name in places if not beaten(name))
    assert [places[name] for name in front] == sorted(places[name] for name in front)


def test_means_latencies_and_weights_are_those_of_the_tables():
    table = pandas.concat(
        [
            scores(
                {
                    ("hold", None, "d1", "time"): 1.0,
                    ("wifo", 0, "d1", "time"): 0.1,
                    ("wifo", 1, "d1", "time"): 0.001,
                    ("elsewhere", 0, "d2", "time"): 0.1,
                }
            ),
            as_table([{"model": "wifo", "metric": "parameters", "value": 2**18}]),
        ]
    )
    measured = as_table(
        [
            {"model": model, "dataset": dataset, "metric": metric, "value": value}
            for model, dataset, metric, value in (
                ("hold", "d1", "latency_ms", 0.1),
                ("wifo", None, "latency_ms", 9.0),
                ("wifo", "d1", "latency_ms", 3.0),
                ("wifo", "d1", "energy_mj", 70.0),
            )
        ]
    )
    found = tradeoffs(table, measured, "time", ["d1"])
    assert found == [Tradeoff("hold", 0.0, 0.1, 0.0, None), Tradeoff("wifo", -20.0, 3.0, 1.0, 70.0)]


def rows_of(section):
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row[1:-1]] for row in rows]


def test_the_best_one_comes_first_and_who_is_beaten_is_told():
    found = [Tradeoff("slow", -3.0, 9.0, 0.0, None), Tradeoff("quick", -5.0, 1.0, 2.0, None)]
    section = tradeoff_section(found, "time", "p.png")
    assert "energy" not in section.lower()
    assert rows_of(section)[2:] == [
        ["quick", "-5.00", "1", "2.00", "yes", "yes"],
        ["slow", "-3.00", "9", "0.00", "-", "yes"],
    ]


def test_energy_is_told_and_drawn_where_it_was_measured(tmp_path):
    found = [
        Tradeoff("unknown", -9.0, 9.0, 0.0, None),
        Tradeoff("thrifty", -3.0, 9.0, 0.0, 0.5),
        Tradeoff("wasteful", -5.0, 1.0, 2.0, 120.0),
        Tradeoff("beaten", -4.0, 1.0, 2.0, 130.0),
    ]
    header, _, *rows = rows_of(tradeoff_section(found, "time", "p.png"))
    places = header.index("energy [mJ]"), header.index("front by energy")
    assert {row[0]: tuple(row[place] for place in places) for row in rows} == {
        "unknown": ("-", "-"), "wasteful": ("120", "yes"), "beaten": ("130", "-"), "thrifty": ("0.5", "yes"),
    }  # fmt: skip
    assert front_of(found, "energy_mj") == ["thrifty", "wasteful"]
    widths = {}
    for name, some in (("with", found), ("without", found[:1])):
        draw_tradeoffs(some, model_styles([one.model for one in found], []), tmp_path / f"{name}.png")
        widths[name] = Image.open(tmp_path / f"{name}.png").width
    # One panel more.
    assert widths["with"] == pytest.approx(1.5 * widths["without"], rel=0.01)
