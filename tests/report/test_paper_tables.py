"""A table in the layout of a paper tells the means that other tables tell, and keeps what is published apart."""

import math

import pandas
import pytest
from pydantic import ValidationError

from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.results import as_table, table_of_samples
from wavefoundry.evaluation.table_options import TableOptions
from wavefoundry.report.paper_tables import paper_table

BOOTSTRAP = Bootstrap(resamples=200, level=0.95, seed=0)
# NMSE of every sample, by model, seed, data set and question.
ERRORS = {
    ("new", 0, "near", "time"): 0.1,
    ("new", 0, "far", "time"): 0.3,
    ("new", 1, "near", "time"): 0.01,
    ("new", 1, "far", "time"): 0.03,
    ("old", None, "near", "time"): 0.5,
    ("old", None, "far", "time"): 0.5,
    ("new", 0, "near", "frequency"): 1.0,
    ("new", 0, "far", "frequency"): 1.0,
}


def options(**changes) -> TableOptions:
    return TableOptions.model_validate(
        {
            "title": "Table I",
            "split": "test",
            "columns": {"Ours": "new", "Theirs": "old"},
            "questions": ["time", "frequency"],
            "rows": {"both": ["near", "far"], "far alone": ["far"]},
            "costs": ["parameters", "training_seconds", "teacher_passes_saved"],
            "published": None,
        }
        | changes
    )


def measured(split: str = "test", factor: float = 1.0) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    keys = ("model", "seed", "dataset", "question")
    rows = [
        dict(zip(keys, key, strict=True)) | {"split": split, "error": factor * error} for key, error in ERRORS.items()
    ]
    table = as_table(
        {"evaluation": "prediction", "metric": "nmse", "value": row["error"]}
        | {key: row[key] for key in (*keys, "split")}
        for row in rows
    )
    samples = table_of_samples(
        {key: row[key] for key in (*keys, "split")} | {"sample": range(4), "trajectory": range(4), "nmse": row["error"]}
        for row in rows
    )
    return table, samples


def told(made: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in made.splitlines() if "|" in line]
    return {line[0]: line[1:] for line in lines if not line[0].startswith("---")}


def test_cells_hold_every_question_with_interval_and_spread_over_seeds():
    costs = {"parameters": {"new": 1234567.0}, "training_seconds": {"new": 61.4}, "teacher_passes_saved": {"new": 0.75}}
    cells = told(paper_table(options(), *measured(), costs, BOOTSTRAP))
    # The mean over data sets is one of ratios, that over seeds one of decibels: -6.99 dB and -16.99 dB.
    mean, spread = (10 * math.log10(0.2) + 10 * math.log10(0.02)) / 2, 10 / math.sqrt(2)
    # All samples of a data set are equally wrong: no draw of trajectories changes the mean.
    interval = f"[{mean:.2f}, {mean:.2f}]"
    assert cells["both [dB]"] == [
        f"{mean:.2f} {interval} ± {spread:.2f} / 0.00 [0.00, 0.00]",
        "-3.01 [-3.01, -3.01] / -",
    ]
    assert cells["far alone [dB]"][0].startswith(f"{(10 * math.log10(0.3) + 10 * math.log10(0.03)) / 2:.2f} [")
    assert cells["parameters"] == ["1,234,567", "-"]
    assert cells["time of one training [s]"] == ["61", "-"]
    assert cells["teacher passes saved"] == ["75%", "-"]


def test_only_the_split_that_is_asked_for_counts():
    both = [
        pandas.concat(parts, ignore_index=True)
        for parts in zip(measured(), measured("validation", factor=0.1), strict=True)
    ]
    for split, expected in (("test", "-3.01 [-3.01, -3.01] / -"), ("validation", "-13.01 [-13.01, -13.01] / -")):
        cells = told(paper_table(options(split=split), *both, {}, BOOTSTRAP))
        assert cells["far alone [dB]"][1] == expected


def test_published_figures_stand_in_a_table_of_their_own_with_their_source():
    published = {"source": "deduced", "rows": {"both": {"Theirs": [-6.78, -8.0], "Another": [-1.0, -2.0]}}}
    made = paper_table(options(published=published), *measured(), {}, BOOTSTRAP)
    own, shown = made.split("As published: deduced")
    assert told(shown) == {"time / frequency": ["Theirs", "Another"], "both [dB]": ["-6.78 / -8.00", "-1.00 / -2.00"]}
    assert "-6.78" not in own


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {}, "costs": []}, "rows and costs are both empty"),
        (
            {"published": {"source": "x", "rows": {"near": {"Ours": [1.0, 2.0]}}}},
            "'near' is no row, allowed: both, far",
        ),
        (
            {"published": {"source": "x", "rows": {"both": {"Ours": [1.0]}}}},
            r"published\.rows\.both\.Ours: found 1 values, allowed: 2",
        ),
        ({"costs": ["money"]}, "'training_seconds'"),
    ],
)
def test_tables_that_say_nothing_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        options(**changes)
