"""A claim is told with its source, its test and what was measured."""

import pandas
import pytest

from tests.report.markdown import cells
from wavefoundry.evaluation.claim_options import PredictionClaim, TaskClaim
from wavefoundry.evaluation.downstream.parts import REFERENCE
from wavefoundry.evaluation.results import as_table
from wavefoundry.report.claims import claims_table


def judged(**changes) -> dict:
    return {
        "claim": "one", "question": "time", "label_fraction": None, "metric": "nmse_db", "model": "new",
        "other": "old", "score": -3.0, "other_score": -2.0, "difference": -1.0, "low": -1.5, "high": -0.5, "seeds": 1,
        "other_seeds": None, "spread": None, "holds": "yes",
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
    claim = PredictionClaim(
        source="ours", says="it is better", question="time", model="new", others=["old", "older"], datasets=datasets,
        ahead_db=ahead_db,
    )  # fmt: skip
    told = cells(claims_table({"one": claim}, pandas.DataFrame([judged()]), as_table([])))
    measured = "-3.00 dB against -2.00 dB, difference -1.00 dB [-1.50, -0.50], seeds 1"
    assert told["it is better"] == ["ours", test, measured, "yes"]
    more = judged(holds="no", seeds=3, other_seeds=1, spread=0.25)
    told = cells(claims_table({"one": claim}, pandas.DataFrame([more]), as_table([])))
    assert told["it is better"][2].endswith("seeds 3 and 1, spread 0.25 dB")
    assert told["it is better"][3] == "**no**"


@pytest.mark.parametrize(
    ("metric", "ahead", "test", "measured"),
    [
        ("accuracy", 0.0, "ahead of raw", "0.912 against 0.900, difference +0.012 [+0.008, +0.016]"),
        ("accuracy", -0.01, "at most 0.01 behind raw", "0.912 against 0.900, difference +0.012 [+0.008, +0.016]"),
        ("error_m", 1.0, "at least 1 m ahead of raw", "0.91 m against 0.90 m, difference +0.01 m [+0.01, +0.02]"),
    ],
)  # fmt: skip
def test_a_claim_about_a_task_is_told_in_the_unit_of_its_score(metric, ahead, test, measured):
    claim = TaskClaim(
        source="ours", says="it is better", task="los", label_fraction=0.1, model="new", others=["raw"], ahead=ahead
    )
    row = judged(
        question="los", label_fraction=0.1, metric=metric, other="raw", score=0.912, other_score=0.9, difference=0.012,
        low=0.008, high=0.016, seeds=3, other_seeds=3, spread=0.002,
    )  # fmt: skip
    told = cells(claims_table({"one": claim}, pandas.DataFrame([row]), as_table([])))["it is better"]
    assert told[1] == f"los with 10% of the labels: new {test}" and told[2].startswith(measured)
    assert told[2].endswith(
        ", seeds 3 and 3, spread 0.00 m" if metric == "error_m" else ", seeds 3 and 3, spread 0.002"
    )


def test_a_verdict_about_a_task_names_what_needs_no_head():
    claim = TaskClaim(
        source="ours",
        says="it is better",
        task="beam_tracking",
        label_fraction=0.1,
        model="new",
        others=["raw"],
        ahead=0.0,
    )
    row = judged(question="beam_tracking", label_fraction=0.1, metric="top_1", other="raw", score=0.6, other_score=0.5)
    reference = {
        "evaluation": "downstream", "model": "raw", "part": REFERENCE, "representation": "the last beam",
        "split": "test", "metric": "top_1",
    }  # fmt: skip
    table = as_table(
        [reference | {"question": "beam_tracking", "value": 0.79}, reference | {"question": "los", "value": 0.9}]
    )
    told = cells(claims_table({"one": claim}, pandas.DataFrame([row]), table))["it is better"]
    assert told[2].endswith("; without a head 0.790 (the last beam)")
