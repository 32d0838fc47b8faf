"""Ranks: who is best in how many combinations, against a count by hand, and what must not change them."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.csi.impairment_options import DroppedSlots
from wavefoundry.evaluation.ranks import NMSE, REGULAR, SPECTRAL_EFFICIENCY, ranks
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.suite_options import SuiteOptions

DROPS = DroppedSlots(kind="dropped_slots", probability=0.1)
ROBUST = SuiteOptions(questions=["time"], datasets=None, samples=8, impairments={"few_drops": DROPS, "drops": DROPS})


def row(model, dataset, value, seed=None, question="time", metric="nmse", part=None, split="test"):
    labels = {"evaluation": "prediction", "model": model, "seed": seed, "dataset": dataset, "question": question}
    return labels | {"metric": metric, "part": part, "split": split, "value": value}


def told(found: pandas.DataFrame, suite: str, metric: str = NMSE) -> dict[str, tuple]:
    rows = found[(found["suite"] == suite) & (found["metric"] == metric)]
    return {one.model: (one.first, one.combinations, one.answered, one.mean_rank) for one in rows.itertuples()}


def test_first_places_and_mean_ranks_are_those_counted_by_hand():
    table = as_table(
        [
            *(row("hold", name, value) for name, value in {"a": 0.5, "b": 0.1, "c": 0.9}.items()),
            *(row("net", name, value, seed) for name in "ab" for seed, value in enumerate([0.1, 0.3])),
            row("net", "a", 0.0, 0, split="validation"),
            row("hold", "new", 0.0),
        ]
    )
    found = told(ranks(table, {"time": ["a", "b", "c"]}, {}), REGULAR)
    # a: net (0.2) before hold; b: hold before net; c: hold alone.
    assert found == {"hold": (2, 3, 3, pytest.approx(4 / 3)), "net": (1, 3, 2, 1.5)}


def test_equal_predictors_share_the_better_rank():
    table = as_table([row("one", "a", 0.2), row("same", "a", 0.2), row("worse", "a", 0.3)])
    found = told(ranks(table, {"time": ["a"]}, {}), REGULAR)
    assert found == {"one": (1, 1, 1, 1.0), "same": (1, 1, 1, 1.0), "worse": (0, 1, 1, 3.0)}


def test_much_spectral_efficiency_is_good():
    table = as_table(
        [
            row("far", "a", 0.1),
            row("near", "a", 0.2),
            row("far", "a", 6.0, metric="spectral_efficiency"),
            row("near", "a", 7.0, metric="spectral_efficiency"),
        ]
    )
    found = ranks(table, {"time": ["a"]}, {})
    assert told(found, REGULAR)["far"][0] == 1 and told(found, REGULAR)["near"][0] == 0
    assert told(found, REGULAR, SPECTRAL_EFFICIENCY)["near"][0] == 1


def test_conditions_are_combinations_but_not_the_one_without_an_impairment():
    parts = {"unimpaired": (0.1, 0.2), "few_drops": (0.3, 0.2), "drops": (0.4, 0.2)}
    table = as_table(
        row(model, "a", value, metric="nmse_of_condition", part=f"robust: {part}")
        for part, values in parts.items()
        for model, value in zip(("fine", "tough"), values, strict=True)
    )
    found = told(ranks(table, {"time": ["a"]}, {"robust": ROBUST}), "robust")
    assert found == {"fine": (0, 2, 2, 2.0), "tough": (2, 2, 2, 1.0)}
    # The name of a suite may begin like that of another one.
    assert told(ranks(table, {"time": ["a"]}, {"rob": ROBUST}), "rob") == {}


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_first_places_add_up_and_a_scale_of_a_data_set_changes_nothing(models, datasets, seed):
    values = np.random.default_rng(seed).uniform(0.1, 1.0, (datasets, models))
    assert len(np.unique(values)) == values.size
    names = [f"d{place}" for place in range(datasets)]

    def scaled(scale):
        rows = [
            row(f"m{model}", name, values[place, model] * scale[place])
            for model in range(models)
            for place, name in enumerate(names)
        ]
        return ranks(as_table(rows), {"time": names}, {})

    found = scaled(np.ones(datasets))
    assert found["first"].sum() == datasets
    assert found["mean_rank"].sum() == pytest.approx(models * (models + 1) / 2)
    pandas.testing.assert_frame_equal(found, scaled(2.0 ** np.arange(datasets)))


def test_suites_are_ranked_on_the_data_sets_on_which_everybody_is_compared():
    rows = [row("net", "a", 0.1, metric="nmse_of_condition", part="robust: drops")]
    rows += [row("hold", name, 0.2, metric="nmse_of_condition", part="robust: drops") for name in ("a", "new")]
    found = told(ranks(as_table(rows), {"time": ["a"]}, {"robust": ROBUST}), "robust")
    assert found == {"net": (1, 1, 1, 1.0), "hold": (0, 1, 1, 2.0)}
    named = ROBUST.model_copy(update={"datasets": ["new"]})
    assert told(ranks(as_table(rows), {"time": ["a"]}, {"robust": named}), "robust") == {"hold": (1, 1, 1, 1.0)}


def test_what_is_no_number_comes_last():
    table = as_table([row("broken", "a", 0.1, 0), row("broken", "a", float("nan"), 1), row("hold", "a", 0.5)])
    assert told(ranks(table, {"time": ["a"]}, {}), REGULAR) == {"broken": (0, 1, 1, 2.0), "hold": (1, 1, 1, 1.0)}


def test_nobody_is_ranked_where_nothing_was_scored():
    assert ranks(as_table([]), {"time": ["a"]}, {"robust": ROBUST}).empty
