"""A claim is told with its source, its test and what was measured."""

import pandas
import pytest

from tests.report.markdown import cells
from wavefoundry.evaluation.claim_options import ClaimOptions
from wavefoundry.report.claims import claims_table


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
