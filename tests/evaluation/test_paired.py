"""The paired bootstrap: covers what it should, pairs what belongs together, knows no order."""

import time

import numpy as np
import pandas
import pytest

from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS, differences, resampled_means_db
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.summary import mean_nmse_db

OPTIONS = Bootstrap(resamples=400, level=0.95, seed=0)


def table(errors, trajectories=None, dataset="town", question="time", seed=0):
    """errors: {model: NMSE (sample,)}."""
    parts = [
        pandas.DataFrame(
            {
                "model": model,
                "seed": seed,
                "question": question,
                "dataset": dataset,
                "sample": np.arange(len(values)),
                "trajectory": pandas.array(trajectories if trajectories is not None else [None] * len(values), "Int64"),
                "nmse": values,
            }
        )
        for model, values in errors.items()
    ]
    return pandas.concat(parts, ignore_index=True)


def interval(samples, model, other, datasets=("town",)):
    found = differences(samples, {"time": list(datasets)}, {"time": [(model, other)]}, OPTIONS)
    row = found[(found["model"] == model) & (found["other"] == other)].iloc[0]
    return row["difference_db"], row["low_db"], row["high_db"]


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says():
    generator, hits = np.random.default_rng(0), 0
    for _ in range(200):
        samples = table({"a": generator.gamma(4.0, 0.25, 80)})  # of mean 1: 0 dB
        row = differences(samples, {"time": ["town"]}, {}, OPTIONS).iloc[0]
        hits += row["low_db"] <= 0 <= row["high_db"]
    assert 0.90 <= hits / 200 <= 0.98


def test_trajectories_stay_together():
    generator = np.random.default_rng(1)
    user = generator.gamma(1.0, 1.0, 40)
    alike = np.repeat(user, 5)
    widths = []
    for trajectories in (np.repeat(np.arange(40), 5), np.arange(200)):
        row = differences(table({"a": alike}, trajectories), {"time": ["town"]}, {}, OPTIONS).iloc[0]
        widths.append(row["high_db"] - row["low_db"])
    # Five copies of a user are worth one: the interval is wider by the root of five.
    assert widths[0] / widths[1] == pytest.approx(5**0.5, rel=0.2)


def test_equal_models_differ_by_nothing_and_pairing_narrows():
    generator = np.random.default_rng(2)
    user = generator.gamma(0.5, 2.0, 100)
    samples = table({"a": user, "b": user, "c": 1.1 * user * generator.uniform(0.95, 1.05, 100)})
    assert interval(samples, "a", "b") == (0, 0, 0)
    difference, low, high = interval(samples, "c", "a")
    assert low <= difference <= high and low > 0
    assert difference == pytest.approx(10 * np.log10(1.1), abs=0.1)
    own = differences(samples, {"time": ["town"]}, {}, OPTIONS).set_index("model")
    assert high - low < 0.2 * (own.loc["a", "high_db"] - own.loc["a", "low_db"])


def test_the_interval_is_that_of_the_normal_distribution_where_it_should_be():
    """Many samples: the mean ratio is normal, and its logarithm nearly so; each data set brings its own variance."""
    generator = np.random.default_rng(4)
    town, city = generator.gamma(4.0, 0.25, 400), generator.gamma(4.0, 0.5, 900)
    samples = pandas.concat([table({"a": town}), table({"a": city}, dataset="city")])
    found = differences(samples, {"time": ["town", "city"]}, {}, Bootstrap(resamples=4000, level=0.95, seed=0)).iloc[0]
    mean = (town.mean() + city.mean()) / 2
    deviation = (town.var() / 400 + city.var() / 900) ** 0.5 / 2
    assert found["difference_db"] == pytest.approx(10 * np.log10(mean))
    expected = 10 * np.log10(mean + 1.96 * deviation * np.array([-1, 1]))
    np.testing.assert_allclose([found["low_db"], found["high_db"]], expected, atol=0.02)


def test_data_sets_count_the_same_and_means_are_those_of_the_other_tables():
    samples = pandas.concat(
        [
            table({"a": np.full(10, 0.1)}),
            table({"a": np.full(10, 0.3)}, seed=1),
            table({"a": np.full(50, 1.0)}, dataset="city"),
            table({"a": np.full(50, 2.0)}, dataset="city", seed=1),
            table({"a": np.full(10, 1e3)}, seed=2),
            table({"lacks": np.full(10, 0.5)}),
            table({"hold": np.full(10, 0.5)}, seed=None),
            table({"hold": np.full(50, 0.7)}, dataset="city", seed=None),
        ]
    )
    models, means = resampled_means_db(samples, ["town", "city"], OPTIONS)
    assert models == ["a", "hold"]
    expected = (10 * np.log10([[(0.1 + 1.0) / 2, (0.3 + 2.0) / 2]])).mean(), 10 * np.log10(0.6)
    np.testing.assert_allclose(means, np.tile(expected, (1 + OPTIONS.resamples, 1)))
    # What other tables say of the same samples.
    keys = ["model", "seed", "question", "dataset"]
    rows = samples.groupby(keys, dropna=False, sort=False)["nmse"].mean().rename("value").reset_index()
    rows = as_table(rows.to_dict("records"))
    rows["metric"], rows["split"] = "nmse", "test"
    summary = mean_nmse_db(rows, {"time": ["town", "city"]}, "test").groupby("model", sort=False)["nmse_db"].mean()
    assert summary[models].tolist() == pytest.approx(list(expected))


def test_twenty_models_take_no_time():
    generator = np.random.default_rng(5)
    models = {f"model_{number}": generator.gamma(1.0, 1.0, 200) for number in range(20)}
    samples = pandas.concat(
        [table(models, np.arange(200) // 5, f"set_{place}", seed=seed) for place in range(4) for seed in range(2)]
    )
    pairs = {"time": [(f"model_{number}", "model_0") for number in range(1, 20)]}
    started = time.process_time()
    found = differences(
        samples, {"time": [f"set_{place}" for place in range(4)]}, pairs, Bootstrap(resamples=1000, level=0.95, seed=0)
    )
    assert time.process_time() - started < 2
    assert len(found) == 39 and list(found.columns) == list(DIFFERENCE_COLUMNS)


def test_the_order_of_samples_does_not_matter():
    generator = np.random.default_rng(3)
    samples = table({"a": generator.gamma(1.0, 1.0, 30), "b": generator.gamma(1.0, 1.0, 30)}, np.arange(30) // 3)
    shuffled = samples.sample(frac=1, random_state=0)
    assert interval(samples, "a", "b") == interval(shuffled, "a", "b")


def test_a_question_that_nobody_was_asked_about_a_data_set_has_no_means():
    samples = table({"a": np.array([0.1, 0.2]), "b": np.array([0.3, 0.1])})
    asked = {"time": ["town"], "both": ["town"]}
    found = differences(samples, asked, {"both": [("a", "b")]}, OPTIONS)
    assert set(found["question"]) == {"time"}
    models, means = resampled_means_db(samples, ["city"], OPTIONS)
    assert models == [] and means.shape == (401, 0)
