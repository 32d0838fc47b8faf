"""Means over data sets are means of ratios, spreads are those over seeds, and slopes those of power laws."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.tables import scores
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.summary import (
    best_methods,
    by_dataset_nmse_db,
    mean_nmse_db,
    operations,
    slope,
    spread,
    summarise,
)

DATASETS = ["d1", "d2", "d3"]


def table_of(ratios: np.ndarray, split: str = "test") -> pandas.DataFrame:
    """NMSE of one model: ratios (seed, data set)."""
    return scores(
        {
            ("wifo", seed, dataset, "time"): ratio
            for seed, row in enumerate(ratios)
            for dataset, ratio in zip(DATASETS, row, strict=True)
        },
        split,
    )


ratios = st.lists(st.tuples(*[st.floats(1e-6, 1e3)] * 3), min_size=1, max_size=4).map(np.array)


@given(ratios)
def test_the_mean_is_taken_over_ratios_and_told_in_db(values):
    means = mean_nmse_db(table_of(values), {"time": DATASETS}, "test")
    assert list(means.columns) == ["model", "question", "seed", "nmse_db"]
    assert means["seed"].tolist() == list(range(len(values)))
    np.testing.assert_allclose(means["nmse_db"], 10 * np.log10(values.mean(axis=1)), rtol=1e-9, atol=1e-9)
    # Fewer data sets, the mean of those.
    some = mean_nmse_db(table_of(values), {"time": DATASETS[1:]}, "test")
    np.testing.assert_allclose(some["nmse_db"], 10 * np.log10(values[:, 1:].mean(axis=1)), rtol=1e-9, atol=1e-9)


def test_a_bad_data_set_is_not_averaged_away_in_db():
    # The mean of -20 dB and 0 dB would be -10 dB; that of their ratios is the half that fails.
    means = mean_nmse_db(
        scores({("m", 0, "d1", "time"): 0.01, ("m", 0, "d2", "time"): 1.0}), {"time": ["d1", "d2"]}, "test"
    )
    assert means["nmse_db"].item() == pytest.approx(10 * np.log10(0.505))


def test_splits_and_other_figures_stay_apart():
    table = pandas.concat(
        [
            table_of(np.array([[0.1, 0.1, 0.1]])),
            table_of(np.array([[0.2, 0.2, 0.2]]), "validation"),
            as_table(
                [{"model": "wifo", "question": "time", "dataset": "d1", "split": "test", "metric": "f1", "value": 9.0}]
            ),
        ]
    )
    assert mean_nmse_db(table, {"time": DATASETS}, "test")["nmse_db"].tolist() == pytest.approx([-10])
    assert mean_nmse_db(table, {"time": DATASETS}, "validation")["nmse_db"].tolist() == pytest.approx(
        [10 * np.log10(0.2)]
    )
    assert len(by_dataset_nmse_db(table, "test")) == 3


def test_who_lacks_a_data_set_is_left_out_of_that_question_and_who_was_not_trained_has_no_seed():
    table = scores(
        {
            ("hold", None, "d1", "time"): 1.0,
            ("hold", None, "d2", "time"): 1.0,
            ("wifo", 0, "d1", "time"): 0.1,
            ("wifo", 0, "d1", "frequency"): 0.1,
            ("wifo", 0, "d2", "frequency"): 0.3,
        }
    )
    means = mean_nmse_db(table, {"time": ["d1", "d2"], "frequency": ["d1", "d2"]}, "test")
    assert means[["model", "question"]].values.tolist() == [["hold", "time"], ["wifo", "frequency"]]
    assert means["seed"].isna().tolist() == [True, False]
    assert means["nmse_db"].tolist() == pytest.approx([0, 10 * np.log10(0.2)])
    some = mean_nmse_db(table, {"time": ["d1"], "frequency": ["d1", "d2"]}, "test")
    assert some[["model", "question"]].values.tolist() == [["hold", "time"], ["wifo", "time"], ["wifo", "frequency"]]
    assert mean_nmse_db(table, {"time": ["d1"]}, "test")["question"].tolist() == ["time", "time"]


def test_the_best_method_is_chosen_on_the_validation_split_question_by_question():
    validation = {
        ("hold", None, "d1", "time"): 1.0,
        ("prony", None, "d1", "time"): 0.1,
        ("wifo", 0, "d1", "time"): 0.01,
        ("hold", None, "d1", "frequency"): 1.0,
        ("prony", None, "d1", "frequency"): 2.0,
        ("wifo", 0, "d1", "both"): 0.1,
    }
    # The test split says the contrary, and is not asked.
    test = {key: 1 / value for key, value in validation.items()}
    table = pandas.concat([scores(test), scores(validation, "validation")])
    datasets = {question: ["d1"] for question in ("time", "frequency", "both")}
    assert best_methods(table, datasets, ["hold", "prony"]) == {"time": "prony", "frequency": "hold"}
    assert best_methods(table, datasets, []) == {}


def test_each_data_set_for_itself_is_in_db_too():
    table = by_dataset_nmse_db(table_of(np.array([[0.1, 1.0, 10.0]])), "test")
    assert list(table.columns) == ["model", "question", "dataset", "seed", "nmse_db"]
    assert table["dataset"].tolist() == DATASETS and table["nmse_db"].tolist() == pytest.approx([-10, 0, 10])


def test_the_spread_is_the_standard_deviation_over_seeds_and_0_of_one():
    assert spread([1.0, 2.0, 4.0]) == pytest.approx(
        np.sqrt(((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2) / 2)
    )
    assert spread([3.0]) == 0 and spread([3.0, 3.0]) == 0
    assert spread(pandas.Series([1.0, 2.0, 4.0], index=[7, 8, 9])) == spread([1.0, 2.0, 4.0])


@given(exponent=st.floats(0, 3), scale=st.floats(1, 1e6))
def test_the_slope_is_the_exponent_of_a_power_law(exponent, scale):
    tokens = [16.0, 64.0, 256.0]
    assert slope(tokens, [scale * count**exponent for count in tokens]) == pytest.approx(exponent, abs=1e-6)


def efficiency(model: str, sizes: dict[str, tuple[int, int]], parameters: int = 1000) -> list[dict]:
    rows = [{"evaluation": "efficiency", "model": model, "metric": "parameters", "value": parameters}]
    for size, figures in sizes.items():
        rows += [
            {"evaluation": "efficiency", "model": model, "question": size, "metric": metric, "value": value}
            for metric, value in zip(("tokens", "flops"), figures, strict=True)
        ]
    return rows


def test_operations_are_in_the_order_in_which_sizes_were_measured():
    table = as_table(efficiency("lwm", {"32 x 32": (256, 4e6), "16 x 16": (64, 1e6), "8 x 8": (16, 2e5)}))
    costs = operations(table)
    assert costs.index.tolist() == ["32 x 32", "16 x 16", "8 x 8"]
    assert costs["tokens"].tolist() == [256, 64, 16] and costs["flops"].tolist() == [4e6, 1e6, 2e5]
    assert operations(as_table(efficiency("hold", {}))).empty


def test_what_people_compare_by():
    table = pandas.concat(
        [
            table_of(np.array([[0.1, 0.2, 0.3], [0.2, 0.2, 0.2]])),
            scores({("hold", None, dataset, "time"): 1.0 for dataset in DATASETS}),
            as_table(efficiency("wifo", {"16 x 16": (64, 1e6), "32 x 32": (256, 4e6)}, 123)),
            as_table(efficiency("hold", {}, 0)),
        ]
    )
    found = summarise(table, {"time": DATASETS}, None)
    seeds = 10 * np.log10([0.2, 0.2])
    assert found == {
        "prediction": {
            "wifo": {"time_nmse_db": pytest.approx(seeds.mean(), abs=1e-4), "time_nmse_db_spread": 0.0},
            "hold": {"time_nmse_db": 0.0},
        },
        "downstream": {},
        "efficiency": {
            "wifo": {"parameters": 123, "megaflops_per_token": pytest.approx(0.0156, abs=1e-4), "flops_slope": 1.0},
            "hold": {"parameters": 0},
        },
    }
