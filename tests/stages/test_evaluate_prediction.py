"""What evaluate_prediction tells of the samples, and which pairs compare sets beside each other."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch

from stages import evaluate_prediction, held_out, params
from stages.compare import pairs
from stages.evaluate_prediction import groups_of, rows_of, score_all, score_suites
from stages.params import Params
from stages.samples import Scored, spread_out
from tests.evaluation.tables import scores
from tests.parameters import FILE
from wavefoundry.errors import InputError
from wavefoundry.evaluation.method_predictor import MethodPredictor
from wavefoundry.evaluation.methods import methods
from wavefoundry.evaluation.options import ZeroForcing
from wavefoundry.evaluation.prediction import Scores
from wavefoundry.evaluation.results import SAMPLE_COLUMNS, SILENT, as_table, table_of_samples
from wavefoundry.evaluation.suites import CONDITION_SAMPLE_COLUMNS

NMSE = torch.tensor([0.1, 0.2, 0.4, 0.8], dtype=torch.float64)
STEPS = torch.stack([NMSE, 2 * NMSE], dim=1)
HEARD = torch.zeros(4, 2, dtype=torch.bool)
FOUND = Scores(NMSE, STEPS, HEARD, 0.3, 2 * torch.ones(4), 3 * torch.ones(4), NMSE / 2)
SECTION = SimpleNamespace(speeds=[0.0, 2.0, 5.0, 10.0])
SPEED = np.array([1.0, 2.0, 4.9, 50.0])
SIGHT = np.array([True, False, False, True])


def told(users, split="test", found=FOUND):
    """{(metric, part): value}."""
    return {(row["metric"], row.get("part")): row["value"] for row in rows_of(found, SECTION, users, split)}


def test_parts_are_told_by_metrics_of_their_own_and_nmse_stays_the_whole():
    rows = told({"speed": SPEED, "line_of_sight": SIGHT})
    assert rows == {
        ("nmse", None): pytest.approx(0.375),
        ("nmse_ratio_of_sums", None): 0.3,
        ("nmse_expected", None): pytest.approx(0.1875),
        ("spectral_efficiency", None): 2.0,
        ("spectral_efficiency_perfect", None): 3.0,
        ("nmse_of_step", "1"): pytest.approx(0.375),
        ("nmse_of_step", "2"): pytest.approx(0.75),
        # A speed belongs to the group that begins with it; nobody is between 5 and 10 m/s, and 50 m/s is in no group.
        ("nmse_of_speed", "0 to 2 m/s"): pytest.approx(0.1),
        ("nmse_of_speed", "2 to 5 m/s"): pytest.approx(0.3),
        ("nmse_of_sight", "line of sight"): pytest.approx(0.45),
        ("nmse_of_sight", "no line of sight"): pytest.approx(0.3),
    }


def test_what_a_store_does_not_know_is_not_told():
    rows = told({"speed": None, "line_of_sight": None})
    assert not {metric for metric, _ in rows} & {"nmse_of_speed", "nmse_of_sight"}
    assert set(told({"speed": SPEED, "line_of_sight": SIGHT}, "validation")) == {
        ("nmse", None),
        ("nmse_ratio_of_sums", None),
    }


def test_groups_of_users_are_told_of_the_test_split_and_data_sets_without_any_say_why():
    groups = {"group_rate": torch.tensor([4.0, 6.0]), "perfect_group_rate": torch.tensor([8.0, 12.0])}
    users = {"speed": None, "line_of_sight": None}
    rows = told(users, found=replace(FOUND, **groups))
    assert rows["zero_forcing_sum_rate", None] == 5.0 and rows["zero_forcing_sum_rate_perfect", None] == 10.0
    assert ("zero_forcing_sum_rate", None) not in told(users, "validation", replace(FOUND, **groups))
    section = SimpleNamespace(zero_forcing=ZeroForcing(users=2, groups=5, seed=0))
    csi = torch.zeros(4, 1, 8, 1)
    known = {"trajectory": np.array([7, 7, 8, 8]), "base_station": None}
    drawn, reason = groups_of(section, csi, known)
    assert reason is None and {tuple(sorted(known["trajectory"][group])) for group in drawn.tolist()} == {(7, 8)}
    assert groups_of(section, csi, known | {"base_station": np.array([0, 0, 1, 1])})[0] is None
    assert groups_of(section, csi[:, :, :1], known) == (None, "1 antennas cannot tell 2 users apart")
    assert groups_of(SimpleNamespace(zero_forcing=None), csi, known) == (None, None)


@pytest.mark.parametrize(("number", "most"), [(3, 10), (10, 10), (100, 7), (1, 1)])
def test_few_samples_are_spread_over_all(number, most):
    chosen = spread_out(number, most)
    assert len(chosen) == len(set(chosen)) == min(number, most)
    assert chosen[0] == 0 and max(chosen) < number
    gaps = np.diff([*chosen, number])
    assert gaps.max() - gaps.min() <= 1


def test_samples_are_told_one_by_one_and_what_is_not_known_is_empty():
    labels = {"model": "hold", "seed": None, "question": "time", "dataset": "d1"}
    known = {"trajectory": np.array([7, 7, 8, 8]), "speed": SPEED, "line_of_sight": SIGHT}
    values = {"nmse": NMSE.numpy(), "spectral_efficiency": np.full(4, 2.0)}
    table = table_of_samples(
        [
            labels | {"split": "test", "sample": np.arange(4)} | known | values,
            labels | {"split": "validation", "sample": np.arange(4, 8)} | dict.fromkeys(known) | values,
        ]
    )
    assert list(table.columns) == list(SAMPLE_COLUMNS) and len(table) == 8
    assert table["sample"].tolist() == list(range(8)) and table["seed"].isna().all()
    assert table["trajectory"].tolist()[:4] == [7, 7, 8, 8] and table["trajectory"][4:].isna().all()
    assert table.groupby("split")["nmse"].mean().tolist() == pytest.approx([0.375, 0.375])
    assert list(table_of_samples([]).columns) == list(SAMPLE_COLUMNS)


def test_everybody_is_compared_with_the_best_method():
    parameters = SimpleNamespace(
        predictors={"hold": None, "prony": None},
        models={"wifo": None},
        compared={"time": ["d1"], "both": ["d1"]},
    )
    validation = {("hold", None, "d1", "time"): 1.0, ("prony", None, "d1", "time"): 0.5, ("wifo", 0, "d1", "time"): 0.1}
    table = pandas.concat([scores(validation, "validation"), scores({("hold", None, "d1", "time"): 0.01})])
    # Nobody answers the other question on the validation split.
    assert pairs(parameters, table) == {"time": [("hold", "prony"), ("wifo", "prony")]}


def test_suites_ask_the_first_seed_about_few_samples_and_tell_all_seeds_where_nothing_is_impaired(monkeypatch):
    parameters = params.read(FILE)
    dataset, method = "uma_nlos", MethodPredictor("sample_and_hold", methods()["sample_and_hold"]())
    csi = torch.randn(4, 16, 8, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    asked = [(question, dataset) for question in ("time", "frequency")]
    monkeypatch.setattr(Params, "answered", lambda *_: asked)
    errors = {(*pair, seed): NMSE + seed for pair in asked for seed in (0, 1)}
    users = {"sample": np.arange(10, 14), "trajectory": None, "speed": SPEED}
    about = {(*pair, "test"): Scored(csi, users, 0) for pair in asked}
    found = table_of_samples(
        score_suites(parameters, "sample_and_hold", {0: method, 1: method}, about, errors),
        CONDITION_SAMPLE_COLUMNS,
    )
    robust, new = (found[found["suite"] == name] for name in ("robustness", "generalisation"))
    assert set(robust["condition"]) == {"unimpaired", "burst", "drops"} and set(robust["seed"]) == {0}
    assert set(robust["question"]) == {"time"} and set(robust["sample"]) == {10, 12}
    # What is not impaired is not asked again.
    assert robust.loc[robust["condition"] == "unimpaired", "nmse"].tolist() == NMSE[[0, 2]].tolist()
    assert robust["nmse"].notna().all() and robust["trajectory"].isna().all()
    assert set(new["condition"]) == {dataset} and set(new["question"]) == {"time", "frequency"}
    assert new.groupby(["question", "seed"])["nmse"].apply(list).tolist() == [
        errors[question, dataset, seed].tolist() for question in ("frequency", "time") for seed in (0, 1)
    ]


def test_silent_slots_are_left_out_of_their_step_alone():
    silent = HEARD.clone()
    silent[0, 0], silent[:, 1] = True, True
    found = replace(FOUND, by_step=STEPS.masked_fill(silent, torch.nan), silent_steps=silent)
    rows = [row for row in rows_of(found, SECTION, {"speed": None, "line_of_sight": None}, "test")]
    steps = [row for row in rows if row["metric"] == "nmse_of_step"]
    # In the second slot nobody is heard, and it has no row.
    assert [(row["part"], row["samples"]) for row in steps] == [("1", 3)]
    assert steps[0]["value"] == pytest.approx((0.2 + 0.4 + 0.8) / 3)


@pytest.fixture
def blocked(monkeypatch):
    """A predictor without training, and samples of which the second has nothing in the second half of its slots."""
    parameters, dataset = params.read(FILE), "uma_nlos"
    csi = torch.randn(4, 16, 8, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    csi[1, 8:] = 0
    users = {"sample": np.arange(10, 14), "trajectory": np.arange(4), "base_station": None, "speed": SPEED,
        "line_of_sight": SIGHT}  # fmt: skip
    monkeypatch.setattr(Params, "answered", lambda *_: [(question, dataset) for question in ("time", "frequency")])
    for module in (evaluate_prediction, held_out):
        monkeypatch.setattr(module, "load_split", lambda *_: csi)
    monkeypatch.setattr(evaluate_prediction, "users_of", lambda *_: users)
    return parameters, csi


def method() -> dict:
    return {None: MethodPredictor("sample_and_hold", methods()["sample_and_hold"]())}


def test_samples_that_are_silent_where_they_are_asked_about_are_left_out_and_counted(blocked, capsys):
    parameters, csi = blocked
    rows, samples, in_suites = score_all(parameters, "sample_and_hold", method())
    printed = capsys.readouterr().out
    assert "question time, data set uma_nlos, split test: 1 of 4 samples are left out" in printed
    assert "sample 11" in printed and "question frequency" not in printed
    table = as_table(rows)
    values = table.loc[table["part"].isna() & (table["metric"] != SILENT)]
    assert np.isfinite(table["value"].dropna()).all() and values["value"].notna().all()
    told = table[table["metric"] == SILENT][["question", "split", "value", "samples"]].to_numpy().tolist()
    assert told == [["time", "validation", 1, 4], ["time", "test", 1, 4]]
    counts = table[(table["metric"] == "nmse") & (table["split"] == "test")].set_index("question")["samples"]
    assert counts.to_dict() == {"time": 3, "frequency": 4}
    for one in (table_of_samples(samples), table_of_samples(in_suites, CONDITION_SAMPLE_COLUMNS)):
        assert np.isfinite(one["nmse"]).all()
        numbers = one.groupby("question")["sample"].agg(set)
        assert 11 not in numbers["time"] and 11 in numbers["frequency"]
    # The score is the one that the others have where there is no such sample.
    heard = csi[[0, 2, 3]]
    blocked_out = table[(table["metric"] == "nmse") & (table["question"] == "time")]["value"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluate_prediction, "load_split", lambda *_: heard)
        users = {key: None if value is None else value[[0, 2, 3]] for key, value in
            evaluate_prediction.users_of("uma_nlos", "test").items()}  # fmt: skip
        patched.setattr(evaluate_prediction, "users_of", lambda *_: users)
        alone = as_table(score_all(parameters, "sample_and_hold", method())[0])
    assert alone[(alone["metric"] == "nmse") & (alone["question"] == "time")]["value"].tolist() == blocked_out.tolist()


def test_a_data_set_of_which_nothing_is_left_is_refused_by_name(blocked):
    parameters, csi = blocked
    csi[:, 8:] = 0
    message = "question time, data set uma_nlos, split validation: each of the 4 samples is zero throughout"
    with pytest.raises(InputError, match=message):
        score_all(parameters, "sample_and_hold", method())


def test_versions_are_judged_without_what_is_silent(blocked, monkeypatch):
    parameters, _ = blocked
    monkeypatch.setattr(Params, "first_answered", lambda *_: ["time"])
    monkeypatch.setattr(Params, "compared", {"time": ["uma_nlos"]})
    monkeypatch.setattr(held_out, "digest", lambda _: "x")
    served = SimpleNamespace(predict=lambda known, slots, subcarriers: np.zeros((len(known), 2, 8, 8, 32), np.float32))
    # Nothing is answered, which is wrong by all there is.
    assert held_out.HeldOut(parameters, "sample_and_hold").served_nmse_db(served) == {"time": pytest.approx(0.0)}
