"""Claims follow the numbers, whoever wins."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.evaluation.claim_options import ClaimOptions
from wavefoundry.evaluation.claims import CLAIM_COLUMNS, judge, verdict
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.results import as_table

OPTIONS = Bootstrap(resamples=200, level=0.95, seed=0)
SAMPLES = 40


def claim(**changes) -> ClaimOptions:
    values = {
        "source": "ours", "says": "it is better", "question": "time", "model": "new", "others": ["old"],
        "datasets": None, "ahead_db": 0.0,
    }  # fmt: skip
    return ClaimOptions.model_validate(values | changes)


def study(
    test: dict[str, list[float]], validation: dict[str, float] | None = None, datasets=("town",)
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Table of results and samples of a study in which the models have these ratios, seed by seed, or one without a
    seed; the error of a sample is that of its model times a factor that all models share."""
    factor = np.random.default_rng(0).uniform(0.5, 1.5, SAMPLES)
    factor /= factor.mean()
    labels = {"evaluation": "prediction", "question": "time", "metric": "nmse"}
    rows = [
        labels | {"model": model, "seed": seed, "dataset": dataset, "split": "test", "value": value}
        for model, ratios in test.items()
        for seed, value in (enumerate(ratios) if len(ratios) > 1 else [(None, ratios[0])])
        for dataset in datasets
    ]
    rows += [
        labels | {"model": model, "seed": 0, "dataset": dataset, "split": "validation", "value": value}
        for model, value in (validation or {}).items()
        for dataset in datasets
    ]
    samples = [
        pandas.DataFrame(
            {
                "model": row["model"], "seed": row["seed"], "question": "time", "dataset": row["dataset"],
                "sample": np.arange(SAMPLES), "trajectory": pandas.array(np.arange(SAMPLES) // 2, "Int64"),
                "nmse": row["value"] * factor,
            }
        )
        for row in rows
        if row["split"] == "test"
    ]  # fmt: skip
    return as_table(rows), pandas.concat(samples, ignore_index=True)


def judged(one: ClaimOptions, *tables) -> dict:
    found = judge({"one": one}, *tables, {"time": ["town"]}, OPTIONS)
    assert list(found.columns) == list(CLAIM_COLUMNS)
    (row,) = found.to_dict("records")
    return row


def test_difference_and_means_are_those_of_the_ratios():
    row = judged(claim(), *study({"new": [0.1], "old": [0.2]}))
    assert (row["model_db"], row["other_db"]) == pytest.approx((-10.0, 10 * np.log10(0.2)))
    # The models share the factor of every sample: the interval of their difference has no width.
    assert (row["difference_db"], row["low_db"], row["high_db"]) == pytest.approx((-10 * np.log10(2),) * 3)
    assert (row["holds"], row["spread_db"]) == ("yes", 0.0) and pandas.isna(row["seeds"])


@pytest.mark.parametrize(("ahead_db", "holds"), [(0.0, "yes"), (2.9, "yes"), (3.1, "no"), (-1.0, "yes")])
def test_so_much_ahead_is_meant(ahead_db, holds):
    assert judged(claim(ahead_db=ahead_db), *study({"new": [0.1], "old": [0.2]}))["holds"] == holds


@pytest.mark.parametrize(("student", "holds"), [(0.19, "yes"), (0.2, "yes"), (0.204, "yes"), (0.21, "no")])
def test_a_student_may_lose_a_tenth_of_a_decibel(student, holds):
    assert judged(claim(ahead_db=-0.1), *study({"new": [student], "old": [0.2]}))["holds"] == holds


def test_the_opponent_is_chosen_on_the_validation_split():
    tables = study({"new": [0.1], "strong": [0.05], "lucky": [0.2]}, {"strong": 0.3, "lucky": 0.1})
    row = judged(claim(others=["strong", "lucky"]), *tables)
    assert row["other"] == "lucky" and row["holds"] == "yes"
    # Nothing to choose by.
    assert judged(claim(others=["strong", "lucky"]), *study({"new": [0.1], "strong": [0.05], "lucky": [0.2]}))[
        "other"
    ] == "strong"  # fmt: skip


def test_only_the_data_sets_of_the_claim_count():
    near, near_samples = study({"new": [0.1], "old": [0.2]})
    far, far_samples = study({"new": [0.4], "old": [0.2]}, datasets=("far",))
    tables = pandas.concat([near, far]), pandas.concat([near_samples, far_samples])
    assert judged(claim(), *tables)["holds"] == "yes"
    assert judged(claim(datasets=["far"]), *tables)["holds"] == "no"
    assert judged(claim(datasets=["far", "town"]), *tables)["difference_db"] == pytest.approx(10 * np.log10(1.25))


def test_what_seeds_do_not_agree_on_is_undecided():
    assert judged(claim(), *study({"new": [0.1, 0.15], "old": [0.13, 0.13]}))["holds"] == "undecided"
    row = judged(claim(), *study({"new": [0.100, 0.101], "old": [0.13, 0.13]}))
    assert row["holds"] == "yes" and 0 < row["spread_db"] < 0.1


@pytest.mark.parametrize(("ratio", "holds"), [(0.1, "yes"), (0.19, "undecided"), (0.21, "undecided"), (0.3, "no")])
def test_one_seed_decides_what_others_could_hardly_change(ratio, holds):
    table, samples = study({"new": [ratio], "old": [0.2]})
    for rows in (table, samples):
        rows["seed"] = rows["seed"].astype("Int64").mask(rows["model"] == "new", 0)
    row = judged(claim(), table, samples)
    assert row["holds"] == holds and row["seeds"] == 1 and pandas.isna(row["spread_db"])


numbers = st.floats(-10, 10)


@given(numbers, st.floats(0, 5), st.floats(0, 5), numbers, st.floats(0, 3))
def test_a_verdict_needs_the_interval_and_the_seeds(difference, below, above, ahead, spread):
    low, high = difference - below, difference + above
    told = verdict(difference, low, high, ahead, spread)
    if told == "yes":
        assert high < -ahead and difference < -ahead - spread
    elif told == "no":
        assert low > -ahead and difference > -ahead + spread
    # Whoever exchanges the two models and what is claimed hears the opposite.
    opposite = {"yes": "no", "no": "yes", "undecided": "undecided"}
    assert verdict(-difference, -high, -low, -ahead, spread) == opposite[told]


def test_nobody_is_ahead_of_itself():
    with pytest.raises(ValueError, match="'new' is the model itself"):
        claim(others=["old", "new"])
