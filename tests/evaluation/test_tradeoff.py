"""Error against cost: who is beaten by nobody."""

import pandas
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.tables import scores
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.tradeoff import Tradeoff, pareto_front, tradeoffs
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
            {"model": model, "dataset": dataset, "metric": "latency_ms", "value": value}
            for model, dataset, value in (("hold", "d1", 0.1), ("wifo", None, 9.0), ("wifo", "d1", 3.0))
        ]
    )
    found = tradeoffs(table, measured, "time", ["d1"])
    assert found == [Tradeoff("hold", 0.0, 0.1, 0.0), Tradeoff("wifo", -20.0, 3.0, 1.0)]


def test_the_best_one_comes_first_and_who_is_beaten_is_told():
    found = [Tradeoff("slow", -3.0, 9.0, 0.0), Tradeoff("quick", -5.0, 1.0, 2.0)]
    rows = [line.split("|") for line in tradeoff_section(found, "time", "p.png").splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in row[1:-1]] for row in rows[2:]] == [
        ["quick", "-5.00", "1.0", "2.00", "yes", "yes"],
        ["slow", "-3.00", "9.0", "0.00", "-", "yes"],
    ]
