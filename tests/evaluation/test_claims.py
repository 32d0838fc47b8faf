"""Claims follow the numbers, whoever wins."""

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.downstream.example import example_task
from wavefoundry.evaluation.claim_options import FeedbackClaim, PredictionClaim, TaskClaim
from wavefoundry.evaluation.claims import CLAIM_COLUMNS, Evidence, judge, verdict
from wavefoundry.evaluation.downstream.options import RAW
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.results import DOWNSTREAM_SAMPLE_COLUMNS, as_table, table_of_samples

OPTIONS = Bootstrap(resamples=200, level=0.95, seed=0)
SAMPLES = 40


def claim(**changes) -> PredictionClaim:
    values = {
        "source": "ours", "says": "it is better", "question": "time", "model": "new", "others": ["old"],
        "datasets": None, "ahead_db": 0.0,
    }  # fmt: skip
    return PredictionClaim.model_validate(values | changes)


def study(test: dict[str, list[float]], datasets=("town",)) -> tuple[pandas.DataFrame, pandas.DataFrame]:
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
    samples = [
        pandas.DataFrame(
            {
                "model": row["model"], "seed": row["seed"], "question": "time", "dataset": row["dataset"],
                "sample": np.arange(SAMPLES), "trajectory": pandas.array(np.arange(SAMPLES) // 2, "Int64"),
                "nmse": row["value"] * factor,
            }
        )
        for row in rows
    ]  # fmt: skip
    return as_table(rows), pandas.concat(samples, ignore_index=True)


def judged(one: PredictionClaim, table: pandas.DataFrame, samples: pandas.DataFrame) -> dict:
    nothing = table_of_samples([], DOWNSTREAM_SAMPLE_COLUMNS)
    found = judge({"one": one}, Evidence(table, samples, {"time": ["town"]}, {}, nothing, OPTIONS))
    assert list(found.columns) == list(CLAIM_COLUMNS)
    (row,) = found.to_dict("records")
    return row


def test_claims_about_feedback_compare_the_codecs_at_their_rate():
    table, samples = study({"new": [0.1, 0.11], "old": [0.2, 0.22]})
    about = {"source": "ours", "says": "it is better", "model": "new", "others": ["old"]}
    one = FeedbackClaim.model_validate(about | {"bits": 5, "datasets": None, "ahead_db": 2.9})
    renamed = [frame.assign(question=frame["question"].replace("time", "5 bits")) for frame in (table, samples)]
    # A prediction of the same models, that says the opposite.
    other_way = [study({"new": [0.5], "old": [0.1]})[place] for place in (0, 1)]
    both = [pandas.concat(frames, ignore_index=True) for frames in zip(renamed, other_way, strict=True)]
    nothing = table_of_samples([], DOWNSTREAM_SAMPLE_COLUMNS)
    asked = {"time": ["town"], "5 bits": ["town"]}
    (row,) = judge({"one": one}, Evidence(*both, asked, {}, nothing, OPTIONS)).to_dict("records")
    assert row["question"] == "5 bits" and row["holds"] == "yes"
    assert row["difference"] == pytest.approx(10 * np.log10(0.5))


def test_difference_and_means_are_those_of_the_ratios():
    row = judged(claim(), *study({"new": [0.1], "old": [0.2]}))
    assert (row["score"], row["other_score"]) == pytest.approx((-10.0, 10 * np.log10(0.2)))
    # The models share the factor of every sample: the interval of their difference has no width.
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((-10 * np.log10(2),) * 3)
    assert (row["holds"], row["spread"]) == ("yes", 0.0) and pandas.isna(row["seeds"])


@pytest.mark.parametrize(("ahead_db", "holds"), [(0.0, "yes"), (2.9, "yes"), (3.1, "no"), (-1.0, "yes")])
def test_so_much_ahead_is_meant(ahead_db, holds):
    assert judged(claim(ahead_db=ahead_db), *study({"new": [0.1], "old": [0.2]}))["holds"] == holds


@pytest.mark.parametrize(("student", "holds"), [(0.19, "yes"), (0.2, "yes"), (0.204, "yes"), (0.21, "no")])
def test_a_student_may_lose_a_tenth_of_a_decibel(student, holds):
    assert judged(claim(ahead_db=-0.1), *study({"new": [student], "old": [0.2]}))["holds"] == holds


@pytest.mark.parametrize(
    ("ratios", "other", "holds"),
    [
        # Ahead of each: the nearest one is told.
        ({"near": [0.15], "far": [0.3]}, "near", "yes"),
        # One is ahead of it, however far behind the other one is.
        ({"far": [0.9], "ahead": [0.05]}, "ahead", "no"),
        # Behind the one, undecided against the other: "no" decides.
        ({"ahead": [0.05, 0.05], "undecided": [0.08, 0.13]}, "ahead", "no"),
        # Seeds do not agree on the one; the other one is nearer, and surely behind.
        ({"near": [0.11, 0.11], "undecided": [0.12, 0.09]}, "undecided", "undecided"),
    ],
)
def test_who_is_ahead_of_several_is_ahead_of_each(ratios, other, holds):
    seeds = max(map(len, ratios.values()))
    row = judged(claim(others=list(ratios)), *study({"new": [0.1] * seeds} | ratios))
    assert (row["other"], row["holds"]) == (other, holds)


@given(st.lists(st.floats(0.05, 0.2), min_size=2, max_size=4), st.floats(-2, 2), st.randoms())
@settings(max_examples=30, deadline=None)
def test_an_opponent_more_never_makes_a_claim_easier(ratios, ahead_db, random):
    figures = {f"other_{place}": [ratio] for place, ratio in enumerate(ratios)}
    tables, names = study({"new": [0.1]} | figures), list(figures)
    one_by_one = [judged(claim(others=[name], ahead_db=ahead_db), *tables) for name in names]
    shuffled = random.sample(names, len(names))
    together = judged(claim(others=shuffled, ahead_db=ahead_db), *tables)
    assert together["holds"] == max((row["holds"] for row in one_by_one), key=["yes", "undecided", "no"].index)
    assert together["difference"] == max(row["difference"] for row in one_by_one)


def test_only_the_data_sets_of_the_claim_count():
    near, near_samples = study({"new": [0.1], "old": [0.2]})
    far, far_samples = study({"new": [0.4], "old": [0.2]}, datasets=("far",))
    tables = pandas.concat([near, far]), pandas.concat([near_samples, far_samples])
    assert judged(claim(), *tables)["holds"] == "yes"
    assert judged(claim(datasets=["far"]), *tables)["holds"] == "no"
    assert judged(claim(datasets=["far", "town"]), *tables)["difference"] == pytest.approx(10 * np.log10(1.25))


def test_what_seeds_do_not_agree_on_is_undecided():
    assert judged(claim(), *study({"new": [0.1, 0.15], "old": [0.13, 0.13]}))["holds"] == "undecided"
    row = judged(claim(), *study({"new": [0.100, 0.101], "old": [0.13, 0.13]}))
    assert row["holds"] == "yes" and 0 < row["spread"] < 0.1
    # Two seeds that lie 0.5 dB apart say little about a third, though both are more than 1 dB ahead.
    row = judged(claim(), *study({"new": [0.09, 0.101], "old": [0.13, 0.13]}))
    assert row["holds"] == "undecided" and row["high"] < -1


def test_seeds_that_both_sides_have_are_compared_one_by_one():
    """Seeds lie 3 dB apart, but on both sides in the same way."""
    row = judged(claim(), *study({"new": [0.1, 0.2], "old": [0.11, 0.22]}))
    assert row["holds"] == "yes" and row["spread"] == pytest.approx(0, abs=1e-12)
    assert judged(claim(), *study({"new": [0.1, 0.2], "old": [0.22, 0.11]}))["holds"] == "undecided"
    # One has a seed more: nothing to be set against it.
    assert judged(claim(), *study({"new": [0.1, 0.2], "old": [0.11, 0.22, 0.22]}))["holds"] == "undecided"


@pytest.mark.parametrize(("ratio", "holds"), [(0.1, "yes"), (0.18, "undecided"), (0.22, "undecided"), (0.3, "no")])
def test_one_seed_decides_what_others_could_hardly_change(ratio, holds):
    table, samples = study({"new": [ratio], "old": [0.2]})
    for rows in (table, samples):
        rows["seed"] = rows["seed"].astype("Int64").mask(rows["model"] == "new", 0)
    row = judged(claim(), table, samples)
    assert row["holds"] == holds and row["seeds"] == 1 and pandas.isna(row["spread"])


numbers = st.floats(-10, 10)


@given(numbers, st.floats(0, 5), st.floats(0, 5), numbers, st.floats(0, 3))
def test_a_verdict_needs_both_intervals(difference, below, above, ahead, margin):
    low, high = difference - below, difference + above
    told = verdict(difference, low, high, ahead, margin)
    if told == "yes":
        assert high < -ahead and difference < -ahead - margin
    elif told == "no":
        assert low > -ahead and difference > -ahead + margin
    # Whoever exchanges the two models and what is claimed hears the opposite.
    opposite = {"yes": "no", "no": "yes", "undecided": "undecided"}
    assert verdict(-difference, -high, -low, -ahead, margin) == opposite[told]


def test_nobody_is_ahead_of_itself():
    with pytest.raises(ValueError, match="'new' is the model itself"):
        claim(others=["old", "new"])


def task_claim(**changes) -> TaskClaim:
    values = {
        "source": "ours", "says": "it is better", "task": "los", "label_fraction": 0.1, "model": "new",
        "others": ["old"], "ahead": 0.0,
    }  # fmt: skip
    return TaskClaim.model_validate(values | changes)


def judged_task(one: TaskClaim, task: str, figures: dict[str, list[np.ndarray]]) -> dict:
    """Verdict on a task whose deciding statistic of each sample is given by model and seed; trajectories are of two."""
    asked = example_task(task)
    (statistic,) = asked.deciding
    samples = [
        {
            "model": model, "seed": seed, "question": task, "label_fraction": 0.1, "statistic": statistic,
            "sample": np.arange(len(values)), "trajectory": np.arange(len(values)) // 2, "value": values,
        }
        for model, seeds in figures.items()
        for seed, values in enumerate(seeds)
    ]  # fmt: skip
    evidence = Evidence(
        as_table([]), pandas.DataFrame(), {}, {task: asked},
        table_of_samples(samples, DOWNSTREAM_SAMPLE_COLUMNS), OPTIONS,
    )  # fmt: skip
    (row,) = judge({"one": one}, evidence).to_dict("records")
    return row


def right(share: float, seed: int, count: int = 400) -> np.ndarray:
    """As many answers right as the share says, at random places."""
    return np.random.default_rng(seed).permutation(np.arange(count) < share * count).astype(float)


@pytest.mark.parametrize(
    ("new", "old", "ahead", "holds"),
    [(0.9, 0.5, 0.0, "yes"), (0.5, 0.9, 0.0, "no"), (0.9, 0.5, 0.3, "yes"), (0.9, 0.5, 0.5, "no"),
     (0.7, 0.69, 0.0, "undecided"), (0.6, 0.7, -0.3, "yes")],
)  # fmt: skip
def test_a_score_that_should_be_high(new, old, ahead, holds):
    one = task_claim(ahead=ahead)
    row = judged_task(one, "los", {"new": [right(new, 0), right(new, 1)], "old": [right(old, 2), right(old, 3)]})
    assert row["holds"] == holds and row["metric"] == "accuracy" and row["label_fraction"] == 0.1
    assert (row["score"], row["other_score"], row["difference"]) == pytest.approx((new, old, new - old))
    assert row["low"] < row["difference"] < row["high"] and row["seeds"] == row["other_seeds"] == 2


@pytest.mark.parametrize(("new", "holds"), [(0.1, "yes"), (0.4, "no")])
def test_the_score_of_a_channel_is_the_mean_of_ratios_in_decibels(new, holds):
    factor = np.random.default_rng(0).uniform(0.5, 1.5, 100)
    factor /= factor.mean()
    figures = {"new": [new * factor] * 2, "old": [0.2 * factor] * 2}
    row = judged_task(task_claim(task="interpolation"), "interpolation", figures)
    assert row["holds"] == holds and row["metric"] == "nmse_db"
    # Wrong about the same samples: the interval of the difference has no width.
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((10 * np.log10(new / 0.2),) * 3)


def test_of_a_task_too_it_has_to_be_ahead_of_each():
    figures = {"new": [right(0.7, 0)] * 2, "behind": [right(0.5, 1)] * 2, RAW: [right(0.9, 2)] * 2}
    row = judged_task(task_claim(others=["behind", RAW]), "los", figures)
    assert (row["other"], row["holds"]) == (RAW, "no")
    assert judged_task(task_claim(others=["behind"]), "los", figures)["holds"] == "yes"
    # Of two that are both behind the nearer one is told.
    figures["far"] = [right(0.3, 3)] * 2
    row = judged_task(task_claim(others=["far", "behind"]), "los", figures)
    assert (row["other"], row["holds"]) == ("behind", "yes")


def test_with_one_seed_of_labels_nothing_is_decided():
    row = judged_task(task_claim(), "los", {"new": [right(0.99, 0)], "old": [right(0.1, 1)]})
    assert row["holds"] == "undecided" and pandas.isna(row["spread"]) and row["low"] > 0.5
