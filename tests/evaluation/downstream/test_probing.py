"""The whole of one input, small: chosen on validation, nested over fractions, the same again."""

import numpy as np
import pandas
import pytest
import torch

from tests.evaluation.downstream.example import CHANNEL_TASKS, entry, example_task, section, waves
from tests.networks.wimamba.example import wimamba
from wavefoundry.evaluation.downstream.inputs import network_inputs, raw_inputs
from wavefoundry.evaluation.downstream.options import LastLayers
from wavefoundry.evaluation.downstream.parts import CURVE, REFERENCE, ROUND_TRIP, SAMPLES, SEARCH
from wavefoundry.evaluation.downstream.probing import Choice, Probing, Results
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import PER_PATCH, tasks_of
from wavefoundry.evaluation.downstream.tuning import tune
from wavefoundry.evaluation.results import DOWNSTREAM_SAMPLE_COLUMNS, as_table, table_of_samples
from wavefoundry.training.options import Training

SECTION = section()
TASKS = tasks_of(SECTION)
KEYS = ["part", "question", "label_fraction", "seed", "split", "metric"]


def network():
    return wimamba(patch_sizes=[2, 4], hidden_size=16, dropout=0.0).eval()


def probing(snapshots: Snapshots | None = None) -> Probing:
    return Probing(TASKS, snapshots or waves(), SECTION)


def inputs():
    return network_inputs(network(), [2, 4])


@pytest.fixture(scope="module")
def measured() -> tuple[Results, dict[str, Choice]]:
    return probing().evaluate("wimamba", inputs())


@pytest.fixture(scope="module")
def evaluated(measured) -> tuple[pandas.DataFrame, dict[str, Choice]]:
    return as_table(measured[0].rows), measured[1]


def rounding(name: str) -> float:
    """By how much scores may differ between two readings: channel tasks read other batches of degraded channels."""
    return 2e-6 if name in CHANNEL_TASKS else 0.0


def part(table: pandas.DataFrame, name: str) -> pandas.DataFrame:
    return table[table["part"] == name]


def test_every_representation_is_tried_at_every_patch_size(evaluated):
    searched = part(evaluated[0], SEARCH)
    assert set(searched["seed"]) == {0} and set(searched["label_fraction"]) == {0.5}
    assert (searched["dataset"] == "snapshots").all() and (searched["evaluation"] == "downstream").all()
    for name in TASKS:
        own = searched[searched["question"] == name]
        kinds = {PER_PATCH} if name in CHANNEL_TASKS else {"class_token", "flattened", "mean"}
        tried = set(own[["representation", "patch_size"]].itertuples(index=False, name=None))
        assert tried == {(kind, size) for kind in kinds for size in ("2", "4")}
        assert not own.duplicated(["representation", "patch_size", "split", "metric"]).any()


def test_the_best_on_the_validation_split_is_chosen(evaluated):
    table, choices = evaluated
    for name, task in TASKS.items():
        own = table[(table["question"] == name) & (table["metric"] == task.metric)]
        searched = part(own, SEARCH).set_index(["split", "representation", "patch_size"])["value"]
        reached = searched["validation"]
        choice = choices[name].representation, choices[name].patch_size
        assert reached[choice] == (reached.max() if task.higher_is_better else reached.min())
        curve = part(own, CURVE)
        assert set(curve["representation"]) == {choice[0]} and set(curve["patch_size"]) == {choice[1]}
        assert sorted(set(curve["label_fraction"])) == [0.5, 1.0] and set(curve["seed"]) == {0, 1}
        first = curve[(curve["label_fraction"] == 0.5) & (curve["seed"] == 0) & (curve["split"] == "test")]
        assert first["value"].tolist() == [pytest.approx(searched[("test", *choice)], abs=rounding(name))]


def test_the_same_again_to_the_bit_and_alone_as_among_others(evaluated):
    """A control that tries the choices alone finds for them what the search found."""
    table, choices = evaluated
    again = as_table(probing().evaluate_choices("again", inputs(), choices).rows)
    assert set(again["part"]) == {CURVE, "last_window"} and set(again["label_fraction"]) == {0.5}
    expected = table[table["part"].isin([CURVE, "last_window"]) & (table["label_fraction"] == 0.5)]
    assert set(again["question"]) == set(TASKS)
    for name in TASKS:
        values = [rows[rows["question"] == name].set_index(KEYS)["value"].sort_index() for rows in (expected, again)]
        pandas.testing.assert_series_equal(*values, rtol=0.0, atol=rounding(name))


def test_what_a_patch_tells_of_itself_is_all_of_the_raw_channel(evaluated):
    raw = as_table(probing().evaluate("raw", raw_inputs([4]))[0].rows)
    lost = part(raw, ROUND_TRIP)
    assert (lost["value"] < -20).all() and set(lost["patch_size"]) == {"4"}
    assert set(part(evaluated[0], ROUND_TRIP)["patch_size"]) == {"2", "4"}


def test_the_test_split_decides_nothing(evaluated):
    """Other labels on the test split: the same choices, and the same scores on the validation split."""
    some = waves()
    test = some.rows["test"]
    some.beam[test], some.line_of_sight[test] = 0, ~some.line_of_sight[test]
    some.position[test] += 7
    results, choices = probing(some).evaluate("wimamba", inputs())
    assert choices == evaluated[1]
    expected, found = (
        table[(table["part"] == CURVE) & (table["split"] == "validation")].reset_index(drop=True)
        for table in (evaluated[0], as_table(results.rows))
    )
    pandas.testing.assert_frame_equal(found, expected)


def test_samples_are_those_that_were_scored(evaluated):
    table, some = evaluated[0], waves()
    for split in ("validation", "test"):
        counts = part(table, CURVE).query(f"split == '{split}'").groupby("question")["samples"].unique()
        for name, found in counts.items():
            # Of the four windows of a user two have two windows before them.
            share = 0.5 if name == "beam_tracking" else 1.0
            assert found.tolist() == [share * len(some.rows[split])]


def test_scores_are_made_of_the_samples_that_are_kept(measured):
    samples = table_of_samples(measured[0].samples, DOWNSTREAM_SAMPLE_COLUMNS)
    curve = part(as_table(measured[0].rows), CURVE).query("split == 'test'")
    some, keys = waves(), ["question", "label_fraction", "seed"]
    for (name, fraction, seed), rows in samples.groupby(keys):
        task = TASKS[name]
        where = (curve[keys] == [name, fraction, seed]).all(axis=1) & (curve["metric"] == task.metric)
        statistics = {kind: one["value"].to_numpy() for kind, one in rows.groupby("statistic")}
        assert curve.loc[where, "value"].tolist() == [pytest.approx(task.scores(statistics)[task.metric], abs=1e-6)]
        # Trajectories of the test split, and none of another one.
        assert set(rows["sample"]) <= set(some.rows["test"])
        assert (some.keys[rows["sample"], 1] == rows["trajectory"]).all() and set(rows["trajectory"]) == set(
            range(25, 30)
        )
    assert samples.groupby(keys).ngroups == len(TASKS) * len(SECTION.label_fractions) * len(SECTION.seeds)


def test_references_have_no_head():
    found = as_table(probing().references().rows)
    assert set(found["part"]) == {REFERENCE} and set(found["model"]) == {"raw"} and found["seed"].isna().all()
    assert set(found["question"]) == set(TASKS)
    for name, task in TASKS.items():
        own = found[(found["question"] == name)].set_index("metric")
        what, scores = task.reference(waves())
        assert own.loc[task.metric, "value"] == pytest.approx(scores[task.metric], abs=1e-6)
        assert own.loc[task.metric, "representation"] == what
        assert own.loc[SAMPLES, "value"] == len(waves().rows["train"]) and own.loc[SAMPLES, "split"] == "train"


def test_two_entries_of_one_task_stand_side_by_side():
    entries = {"short": entry("beam_tracking", past=1), "long": entry("beam_tracking", past=3)}
    both = section(tasks=entries, seeds=[0], label_fractions=[1.0], choice_fraction=1.0)
    results, _ = Probing(tasks_of(both), waves(), both).evaluate("raw", raw_inputs([4]))
    curves = part(as_table(results.rows), CURVE)
    samples = curves[curves["split"] == "test"].groupby("question")["samples"].first()
    assert samples.to_dict() == {"short": 15, "long": 5}
    # Without a task that gives back channels nobody asks what patches have lost.
    assert part(as_table(results.rows), ROUND_TRIP).empty


@pytest.mark.parametrize("name", ["los", "beam_prediction"])
def test_tuning_changes_the_last_layers_only_and_repeats(name, tmp_path):
    training = Training(
        epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.0, warmup_fraction=0.1, max_grad_norm=1.0,
        epochs_per_checkpoint=2,
        precision="float32",
    )  # fmt: skip
    options = LastLayers(tasks=[name], layers=1, fraction=0.5, patch_size=4, training=training)
    before, scores = network().state_dict(), []
    for run in ("one", "other"):
        model = network()
        scores.append(tune(example_task(name), model, 4, waves(), options, 0, tmp_path / run))
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all(key.startswith("layers.1.") for key in changed)
    for split, found in scores[0].items():
        assert all(np.array_equal(values, scores[1][split][name]) for name, values in found.items())
    assert np.isfinite(list(example_task(name).scores(scores[0]["test"]).values())).all()
