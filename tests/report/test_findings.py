"""What came out is said by the tables alone."""

import pandas
import pytest

from tests.evaluation.downstream.example import section
from tests.evaluation.downstream.tables import errors_of, reference_rows, table
from tests.evaluation.tables import scores
from wavefoundry.evaluation.claim_options import PredictionClaim, TaskClaim
from wavefoundry.evaluation.claims import CLAIM_COLUMNS
from wavefoundry.evaluation.downstream.task import tasks_of
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS
from wavefoundry.evaluation.results import as_table
from wavefoundry.report.findings import claim_findings, prediction_findings, task_findings

SECTION = section(label_fractions=[0.1, 1.0], choice_fraction=0.1)
SCORES = scores({("hold", None, "d1", "time"): 1.0, ("wifo", 0, "d1", "time"): 0.1, ("lwm", 0, "d1", "time"): 0.5})


@pytest.mark.parametrize(("high", "sure"), [(-9.0, True), (0.5, False)])
def test_the_lowest_error_is_set_against_the_best_without_training(high, sure):
    row = ("time", "wifo", "hold", -10.0, -11.0, high)
    differences = pandas.DataFrame([row], columns=list(DIFFERENCE_COLUMNS))
    (told,) = prediction_findings(SCORES, differences, {"time": "hold"}, {"time": ["d1"]})
    assert "wifo has the lowest NMSE, -10.00 dB" in told
    assert "from hold, the best without training, is -10.00 dB [-11.00, " in told
    assert ("not sure who is ahead" in told) != sure


def test_a_winner_without_training_is_called_so():
    differences = pandas.DataFrame([], columns=list(DIFFERENCE_COLUMNS))
    (told,) = prediction_findings(SCORES, differences, {"time": "wifo"}, {"time": ["d1"]})
    assert "wifo has the lowest NMSE, -10.00 dB, and needs no training; lwm comes next with -3.01 dB." in told
    assert prediction_findings(as_table([]), differences, {}, {}) == []


@pytest.mark.parametrize(("error", "behind"), [(-0.5, False), (0.5, True)])
def test_a_task_names_its_best_input_and_what_needs_no_head(error, behind):
    some = table(
        errors_of(SECTION, "raw", 0.9, [0.9]), errors_of(SECTION, "lwm", error, [error]), reference_rows(SECTION)
    )
    told = task_findings(some, SECTION)
    assert len(told) == len(SECTION.tasks)
    for sentence in told:
        assert "the best input of a head is lwm" in sentence and "the raw channel gives" in sentence
        assert "(a guess)" in sentence and ("which no head surpasses" in sentence) == behind
    assert task_findings(as_table([]), SECTION) == []


def test_claims_are_counted_and_told_sentence_by_sentence():
    common = {"source": "a paper", "says": "it is better"}
    claims = {
        "time": PredictionClaim(**common, question="time", model="new", others=["old"], datasets=None, ahead_db=0.0),
        "both": PredictionClaim(**common, question="both", model="new", others=["old"], datasets=["d1"], ahead_db=0.0),
        "los": TaskClaim(**common, task="los", label_fraction=0.1, model="lwm", others=["raw"], ahead=0.0),
    }
    rows = [
        {"claim": "time", "metric": "nmse_db", "model": "new", "score": -3.0, "holds": "yes"},
        {"claim": "both", "metric": "nmse_db", "model": "new", "score": -3.0, "holds": "undecided"},
        {"claim": "los", "metric": tasks_of(SECTION)["los"].metric, "model": "lwm", "score": -0.5, "holds": "no"},
    ]
    judged = pandas.DataFrame(rows, columns=list(CLAIM_COLUMNS)).astype(CLAIM_COLUMNS)
    count, (told,) = claim_findings(claims, judged, table(reference_rows(SECTION)), tasks_of(SECTION))
    assert count == "Of 3 claims tested, 1 hold, 1 do not, and 1 are undecided."
    assert told == (
        "It is better (a paper). new: holds in time; undecided in both about d1. lwm: does not hold in los. In los, "
        "lwm does not surpass what needs no head: a guess."
    )
    assert claim_findings({}, judged[:0], as_table([]), {}) == ("", [])
