"""Tables of prediction tell means with their intervals, and what a prediction is worth in bits."""

import pandas

from tests.evaluation.tables import scores
from tests.report.markdown import cells
from wavefoundry.evaluation.options import ZeroForcing
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS
from wavefoundry.evaluation.results import as_table
from wavefoundry.report.prediction import (
    dataset_table,
    differences_table,
    overview_table,
    sight_part,
    spectral_efficiency_table,
    zero_forcing_part,
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


def test_zero_forcing_says_of_which_data_sets_there_are_no_groups():
    options, told = ZeroForcing(users=4, groups=10, seed=0), {"time": ["d1", "d2"]}
    metrics = {"zero_forcing_sum_rate": 6.0, "zero_forcing_sum_rate_perfect": 12.0}
    rows = [
        {"model": "hold", "question": "time", "dataset": "d1", "split": "test", "metric": metric, "value": value}
        for metric, value in metrics.items()
    ]
    reason = {"metric": "zero_forcing_left_out", "part": "no base station sees 4 users, 2 at most"}
    rows.append({"model": "hold", "question": "time", "dataset": "d2", "split": "test"} | reason)
    text = zero_forcing_part(as_table(rows), told, options)
    assert cells(text)["hold"] == ["6.00 (50.0%)"]
    assert text.endswith("Left out:\n\n- d2: no base station sees 4 users, 2 at most")
    nowhere = zero_forcing_part(as_table(rows[2:]), told, options)
    assert "bit/s/Hz" not in nowhere and "- d2: no base station" in nowhere
    assert "left out of this study" in zero_forcing_part(as_table(rows), told, None)


def test_a_data_set_has_mean_median_and_quantile_of_its_samples():
    row = {"model": "wifo", "seed": 0, "question": "time", "dataset": "d1", "split": "test", "metric": "nmse"}
    table = as_table([row | {"value": 0.1, "median": 0.01, "quantile_90": 1.0}])
    found = cells(dataset_table(table, "time", ["d1", "d2"], lambda model, dataset: True))
    assert found["model"] == ["d1, mean", "d1, median", "d1, 90%", "d2, mean", "d2, median", "d2, 90%"]
    assert found["wifo"] == ["-10.00 (zero-shot)", "-20.00", "0.00", "-", "-", "-"]


def test_sight_is_told_of_data_sets_with_both_kinds_of_users():
    values = {("d1", "line of sight"): 0.01, ("d1", "no line of sight"): 0.1, ("d2", "line of sight"): 10.0}
    table = as_table(
        {"model": "hold", "question": question, "dataset": dataset, "part": part, "split": "test",
         "metric": "nmse_of_sight", "value": value}
        for (dataset, part), value in values.items()
        for question in ("time", "both")
    )  # fmt: skip
    text = sight_part(table, {"time": ["d1", "d2"], "both": ["d2"]})
    assert "(d1)" in text
    assert cells(text)["model"] == ["time, line of sight [dB]", "time, no line of sight [dB]"]
    assert cells(text)["hold"] == ["-20.00", "-10.00"]
    assert "No data set" in sight_part(table, {"both": ["d2"]})


def test_a_latency_is_told_however_short_it_is():
    latency = {"model": "hold", "dataset": "d1", "question": "time", "metric": "latency_ms", "value": 0.0485}
    found = cells(overview_table(TABLE, as_table([latency]), DIFFERENCES, DATASETS))
    assert found["model"][-1] == "latency in PyTorch [ms]" and found["hold"][-1] == "0.049"
