"""The whole of one input, small: chosen on validation, nested over fractions, the same again."""

from dataclasses import dataclass

import pandas
import pytest
import torch

from tests.evaluation.downstream.example import CHANNEL_TASKS, HEADS, entry, section, waves
from tests.networks.wimamba.example import wimamba
from wavefoundry.evaluation.downstream.inputs import network_inputs, raw_inputs
from wavefoundry.evaluation.downstream.parts import CURVE, REFERENCE, ROUND_TRIP, SAMPLES, SEARCH
from wavefoundry.evaluation.downstream.probing import Probing, Results
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import PER_PATCH, tasks_of
from wavefoundry.evaluation.results import DOWNSTREAM_SAMPLE_COLUMNS, as_table, table_of_samples
from wavefoundry.networks.representations import Representations

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
def measured() -> Results:
    return probing().evaluate("wimamba", inputs(), SECTION.label_fractions)


@pytest.fixture(scope="module")
def evaluated(measured) -> pandas.DataFrame:
    return as_table(measured.rows)


def rounding(name: str) -> float:
    """By how much scores may differ between two readings: channel tasks read other batches of degraded channels."""
    return 2e-6 if name in CHANNEL_TASKS else 0.0


def part(table: pandas.DataFrame, name: str) -> pandas.DataFrame:
    return table[table["part"] == name]


def test_every_representation_is_tried_at_every_patch_size(evaluated):
    searched = part(evaluated, SEARCH)
    assert set(searched["seed"]) == {0} and set(searched["label_fraction"]) == {0.5}
    assert (searched["dataset"] == "snapshots").all() and (searched["evaluation"] == "downstream").all()
    for name in TASKS:
        own = searched[searched["question"] == name]
        kinds = {PER_PATCH} if name in CHANNEL_TASKS else {"class_token", "flattened", "mean"}
        tried = set(own[["representation", "patch_size"]].itertuples(index=False, name=None))
        assert tried == {(kind, size) for kind in kinds for size in ("2", "4")}
        assert not own.duplicated(["representation", "patch_size", "split", "metric"]).any()


def test_the_best_on_the_validation_split_is_chosen(evaluated):
    for name, task in TASKS.items():
        own = evaluated[(evaluated["question"] == name) & (evaluated["metric"] == task.metric)]
        searched = part(own, SEARCH).set_index(["split", "representation", "patch_size"])["value"]
        reached, curve = searched["validation"], part(own, CURVE)
        [choice] = set(curve[["representation", "patch_size"]].itertuples(index=False, name=None))
        assert reached[choice] == (reached.max() if task.higher_is_better else reached.min())
        assert sorted(set(curve["label_fraction"])) == [0.5, 1.0] and set(curve["seed"]) == {0, 1}
        first = curve[(curve["label_fraction"] == 0.5) & (curve["seed"] == 0) & (curve["split"] == "test")]
        assert first["value"].tolist() == [pytest.approx(searched[("test", *choice)], abs=rounding(name))]


def test_the_same_again_to_the_bit_and_at_one_fraction_as_among_others(evaluated):
    """A control, which is scored at the fraction of the choice alone, finds there what a network finds."""
    again = as_table(probing().evaluate("again", inputs(), [0.5]).rows)
    assert set(again["part"]) == set(evaluated["part"]) and set(again["label_fraction"]) == {0.5}
    expected = evaluated[evaluated["label_fraction"] == 0.5]
    assert set(again["question"]) == {*TASKS, ROUND_TRIP}
    for name in (*TASKS, ROUND_TRIP):
        values = [rows[rows["question"] == name].set_index(KEYS)["value"].sort_index() for rows in (expected, again)]
        pandas.testing.assert_series_equal(*values, rtol=0.0, atol=rounding(name))


@dataclass(frozen=True)
class Told:
    """An embedder that tells what it is read for in one representation, and noise in all others."""

    where: str

    def embed(self, csi, patch_size=None):
        phase = torch.angle(csi[:, 1, 0] * csi[:, 0, 0].conj())
        told = torch.stack([phase.cos(), phase.sin()], dim=1)
        noise = torch.randn(3, len(csi), 2, generator=torch.Generator().manual_seed(0))
        tokens = {"class_token": noise[0], "flattened": noise[1], "mean": noise[2]} | {self.where: told}
        scale = csi.abs().square().mean((1, 2)).sqrt()
        return Representations(tokens["class_token"], tokens["flattened"][:, None], tokens["mean"], scale)


@pytest.mark.parametrize("where", ["class_token", "flattened", "mean"])
def test_each_input_is_read_by_what_suits_it_best(where):
    """Also one that stands for a control: no choice is taken over from another input."""
    one = section(tasks={"los": entry("los")}, heads=HEADS.model_dump())
    shared = Probing(tasks_of(one), waves(), one)
    shared.evaluate("trained", network_inputs(Told("mean"), [2]), one.label_fractions)
    control = as_table(shared.evaluate("control", network_inputs(Told(where), [2]), [0.5]).rows)
    assert set(part(control, CURVE)["representation"]) == {where}
    assert part(control, CURVE).query("split == 'validation' and metric == 'accuracy'")["value"].min() > 0.9


def test_what_a_patch_tells_of_itself_is_all_of_the_raw_channel(evaluated):
    raw = as_table(probing().evaluate("raw", raw_inputs([4]), [0.5]).rows)
    lost = part(raw, ROUND_TRIP)
    assert (lost["value"] < -20).all() and set(lost["patch_size"]) == {"4"}
    assert set(part(evaluated, ROUND_TRIP)["patch_size"]) == {"2", "4"}


def test_the_test_split_decides_nothing(evaluated):
    """Other labels on the test split: the same choices, and the same scores on the validation split."""
    some = waves()
    test = some.rows["test"]
    some.beam[test], some.line_of_sight[test] = 0, ~some.line_of_sight[test]
    some.position[test] += 7
    results = probing(some).evaluate("wimamba", inputs(), SECTION.label_fractions)
    expected, found = (
        table[(table["part"] == CURVE) & (table["split"] == "validation")].reset_index(drop=True)
        for table in (evaluated, as_table(results.rows))
    )
    pandas.testing.assert_frame_equal(found, expected)


def test_samples_are_those_that_were_scored(evaluated):
    some = waves()
    for split in ("validation", "test"):
        counts = part(evaluated, CURVE).query(f"split == '{split}'").groupby("question")["samples"].unique()
        for name, found in counts.items():
            # Of the four windows of a user two have two windows before them.
            share = 0.5 if name == "beam_tracking" else 1.0
            assert found.tolist() == [share * len(some.rows[split])]


def test_scores_are_made_of_the_samples_that_are_kept(measured):
    samples = table_of_samples(measured.samples, DOWNSTREAM_SAMPLE_COLUMNS)
    curve = part(as_table(measured.rows), CURVE).query("split == 'test'")
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
    results = Probing(tasks_of(both), waves(), both).evaluate("raw", raw_inputs([4]), [1.0])
    curves = part(as_table(results.rows), CURVE)
    samples = curves[curves["split"] == "test"].groupby("question")["samples"].first()
    assert samples.to_dict() == {"short": 15, "long": 5}
    # Without a task that gives back channels nobody asks what patches have lost.
    assert part(as_table(results.rows), ROUND_TRIP).empty
