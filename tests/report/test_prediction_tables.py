"""Tables of prediction tell means with their intervals, and what a prediction is worth in bits."""

import pandas
import pytest

from tests.evaluation.tables import scores
from wavefoundry.evaluation.claim_options import ClaimOptions
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS
from wavefoundry.evaluation.results import as_table
from wavefoundry.report.prediction import (
    claims_table,
    differences_table,
    overview_table,
    spectral_efficiency_table,
)

TABLE = scores(
    {
        ("hold", None, "d1", "time"): 1.0,
        ("hold", None, "d1", "both"): 10.0,
        ("wifo", 0, "d1", "time"): 0.1,
        ("wifo", 1, "d1", "time"): 0.01,
    }
)
DIFFERENCES = pandas.DataFrame(
    [
        ("time", "hold", None, 0.0, -0.5, 0.5),
        ("both", "hold", None, 10.0, 9.0, 11.0),
        ("time", "wifo", None, -15.0, -16.0, -14.0),
        ("time", "wifo", "hold", -15.0, -15.25, -14.75),
        ("time", "wifo", "another", -1.0, -1.0, -1.0),
    ],
    columns=list(DIFFERENCE_COLUMNS),
).astype(DIFFERENCE_COLUMNS)
DATASETS = {"time": ["d1"], "both": ["d1"]}


def cells(table: str) -> dict[str, list[str]]:
    """Rows of a markdown table by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_every_mean_has_its_interval_and_seeds_their_spread():
    found = cells(overview_table(TABLE, as_table([]), DIFFERENCES, DATASETS))
    assert found["model"][:2] == ["time [dB]", "both [dB]"]
    assert found["hold"][:2] == ["0.00 [-0.50, 0.50]", "10.00 [9.00, 11.00]"]
    assert found["wifo"][:2] == ["-15.00 [-16.00, -14.00] ± 7.07", "-"]


def test_differences_are_those_from_the_best_without_training():
    found = cells(differences_table(DIFFERENCES, {"time": "hold", "both": "hold"}))
    assert found["model"] == ["time: from hold [dB]", "both: from hold [dB]"]
    assert found["wifo"] == ["-15.00 [-15.25, -14.75]", "-"]
    assert found["hold"] == ["-", "-"]


def test_spectral_efficiency_stands_beside_that_of_the_channel_itself():
    values = {("hold", None): (2.0, 8.0), ("wifo", 0): (5.0, 8.0), ("wifo", 1): (7.0, 8.0)}
    table = as_table(
        {"model": model, "seed": seed, "question": "time", "dataset": dataset, "split": "test", "metric": metric,
         "value": value}
        for (model, seed), both in values.items()
        for metric, value in zip(("spectral_efficiency", "spectral_efficiency_perfect"), both, strict=True)
        for dataset in ("d1", "left_out")
    )  # fmt: skip
    found = cells(spectral_efficiency_table(table, DATASETS))
    assert found["hold"] == ["2.00 (25.0%)", "-"] and found["wifo"] == ["6.00 (75.0%)", "-"]


def judged(**changes) -> dict:
    return {
        "claim": "one", "question": "time", "model": "new", "other": "old", "model_db": -3.0, "other_db": -2.0,
        "difference_db": -1.0, "low_db": -1.5, "high_db": -0.5, "seeds": 1, "other_seeds": None, "spread_db": None,
        "holds": "yes",
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("ahead_db", "datasets", "test"),
    [
        (0.0, None, "time: new ahead of old"),
        (1.0, None, "time: new at least 1 dB ahead of old"),
        (-0.1, ["far"], "time: new at most 0.1 dB behind old on far"),
    ],
)
def test_a_claim_is_told_with_its_test(ahead_db, datasets, test):
    claim = ClaimOptions(
        source="ours", says="it is better", question="time", model="new", others=["old", "older"], datasets=datasets,
        ahead_db=ahead_db,
    )  # fmt: skip
    told = cells(claims_table({"one": claim}, pandas.DataFrame([judged()])))
    measured = "-3.00 dB against -2.00 dB, difference -1.00 dB [-1.50, -0.50], seeds 1"
    assert told["it is better"] == ["ours", test, measured, "yes"]
    more = judged(holds="no", seeds=3, other_seeds=1, spread_db=0.25)
    told = cells(claims_table({"one": claim}, pandas.DataFrame([more])))
    assert told["it is better"][2].endswith("seeds 3 and 1, spread 0.25 dB")
    assert told["it is better"][3] == "**no**"
