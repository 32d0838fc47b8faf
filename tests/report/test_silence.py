"""What was left out for want of power is said once, by data set, split and question."""

from wavefoundry.evaluation.results import SILENT, as_table
from wavefoundry.report.silence import silence_note


def row(model, **columns):
    return {
        "evaluation": "prediction",
        "model": model,
        "dataset": "d1",
        "metric": SILENT,
        "value": 2,
        "samples": 40,
    } | (columns)


def test_every_model_leaves_out_the_same_and_it_is_said_once():
    asked = {"question": "time", "split": "test"}
    table = as_table([row("hold", **asked), row("wifo", seed=0, **asked), row("hold", question="both", split="test")])
    [note] = silence_note(table, "prediction")
    assert note.endswith(
        "no NMSE: 2 of 40 samples of d1, split test, question time; 2 of 40 samples of d1, split test, question both."
    )


def test_what_has_no_split_and_no_question_is_told_without():
    [note] = silence_note(as_table([row("raw", evaluation="downstream")]), "downstream")
    assert note.endswith("no NMSE: 2 of 40 samples of d1.")


def test_nothing_is_said_where_nothing_is_left_out():
    table = as_table([row("hold", metric="nmse"), row("hold")])
    assert silence_note(table, "feedback") == [] == silence_note(as_table([]), "prediction")
