"""What becomes champion, and that test data never choose the seed."""

from functools import partial
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import held_out, params
from stages.candidates import Candidate, choose
from stages.held_out import HeldOut
from stages.register import Offered, as_best, best_entry, is_better, offer
from stages.served_form import Logged
from stages.version_page import MEAN, description, scores_beside_reference
from storage.tracking.registry import CHALLENGER, CHAMPION, DEMOTED_TAG, MODEL_TAG, Version
from tests.parameters import tiny_parameters
from wavefoundry.deployment.options import Int8, Register
from wavefoundry.evaluation.results import as_table

GATE = Register(
    margin_db=0.05,
    latency_limit_ms=10.0,
    size_limit_mebibytes=300.0,
    int8=Int8(calibration_samples=1, loss_limit_db=0.2),
)
LOGGED = Logged("m-1", {"int8": "none: it is served without an ONNX graph"})
DECIBEL = st.floats(-40, 10).map(lambda value: round(value, 3))


class FakeRegistry:
    """One registered model, in memory."""

    def __init__(self):
        self.versions, self.aliases = [], {}

    def champion(self, name):
        return self.aliases.get(CHAMPION)

    def find(self, name, model_md5):
        return next((version for version in self.versions if version.tags[MODEL_TAG] == model_md5), None)

    def register(self, name, model_id, run_id, tags):
        self.versions.append(Version(name, len(self.versions) + 1, dict(tags), model_id))
        return self.versions[-1]

    def tag(self, version, tags):
        version.tags.update(tags)

    def promote(self, version):
        self.set_alias(version, CHAMPION)

    def set_alias(self, version, alias):
        self.aliases = {key: value for key, value in self.aliases.items() if value != version} | {alias: version}


class FakeHeldOut:
    """Data with a name; `scores` says what a version scores on it."""

    def __init__(self, md5, scores=None, latency=5.0, asked_md5="asked"):
        self.md5, self.stores, self.scores, self.asked = md5, {"munich": md5}, scores or {}, []
        self.asked_md5 = asked_md5
        self.latency = latency

    def latency_ms(self, version):
        return self.latency

    def score_db(self, version):
        self.asked.append(version.number)
        return self.scores[version.number]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def offered(registry, weights, nmse_db, held_out, seed=0, trial=None, test_db=-1.0):
    """The decision about a candidate of these weights, and of this NMSE on the validation split."""
    test, validation = (dict.fromkeys(("time", "frequency"), value) for value in (test_db, nmse_db))
    candidate = Candidate("tiny_wifo", seed, test, validation)
    return offer(registry, candidate, weights, lambda: LOGGED, held_out, GATE, "run", trial)[1]


def test_first_version_is_champion():
    registry = FakeRegistry()
    decision = offered(registry, "a", -3.0, FakeHeldOut("x"))
    assert (decision["alias"], decision["version"]) == (CHAMPION, 1)
    tags = registry.champion("tiny_wifo").tags
    assert tags["seed"] == "seed_0"
    assert tags["data.munich.md5"] == "x"
    assert (tags["validation_nmse_db.time"], tags["validation_nmse_db"]) == ("-3.0", "-3.0")
    assert tags["test_nmse_db.time"] == "-1.0"
    assert tags["scenarios"] == "munich"
    assert float(tags["latency_ms"]) == 5.0
    assert "git.commit" in tags
    assert tags["int8"] == decision["int8"] == LOGGED.tags["int8"]


@pytest.mark.parametrize(
    ("nmse_db", "alias"), [(-3.2, CHAMPION), (-3.06, CHAMPION), (-3.04, CHALLENGER), (-2.0, CHALLENGER)]
)
def test_only_a_clear_gain_takes_the_alias(nmse_db, alias):
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offered(registry, "a", -3.0, held_out)
    decision = offered(registry, "b", nmse_db, held_out)
    assert decision["alias"] == alias
    assert registry.aliases[alias].number == 2
    assert registry.champion("tiny_wifo").number == (2 if alias == CHAMPION else 1)
    assert held_out.asked == []


def test_the_test_split_decides_nothing():
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offered(registry, "a", -3.0, held_out, test_db=-3.0)
    assert offered(registry, "b", -3.0, held_out, test_db=-30.0)["alias"] == CHALLENGER
    assert offered(registry, "c", -4.0, held_out, test_db=0.0)["alias"] == CHAMPION


@pytest.mark.parametrize(
    ("held_out", "trial", "reason"),
    [
        (FakeHeldOut("x"), "the experiment hasty-gnat", "the experiment hasty-gnat only tries something"),
        (FakeHeldOut("y", asked_md5="others"), None, "version 1, the champion, was judged by other questions"),
    ],
)
def test_who_only_tries_something_registers_and_changes_nothing(held_out, trial, reason):
    registry = FakeRegistry()
    offered(registry, "a", -3.0, FakeHeldOut("x"))
    before, aliases = dict(registry.versions[0].tags), dict(registry.aliases)
    decision = offered(registry, "b", -30.0, held_out, trial=trial)
    assert (decision["version"], decision["alias"]) == (2, None) and decision["reason"].startswith(reason)
    # Nor where it comes to the model that stands there.
    assert offered(registry, "a", -30.0, held_out, trial=trial)["version"] == 1
    assert registry.versions[0].tags == before and registry.aliases == aliases


def test_a_trial_is_no_champion_where_none_stands():
    registry = FakeRegistry()
    assert offered(registry, "a", -3.0, FakeHeldOut("x"), trial="the run seed-7")["alias"] is None
    assert registry.champion("tiny_wifo") is None
    # The project's own run finds the version, and judges it.
    assert offered(registry, "a", -3.0, FakeHeldOut("x"))["alias"] == CHAMPION


def test_a_slow_version_is_never_champion():
    registry = FakeRegistry()
    decision = offered(registry, "a", -9.0, FakeHeldOut("x", latency=10.5))
    assert (decision["alias"], decision["latency_ms"]) == (CHALLENGER, 10.5)
    assert decision["reason"] == "no champion stood, but slower than 10.0 ms"
    assert registry.champion("tiny_wifo") is None


def test_a_demoted_version_stays_out():
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offered(registry, "a", -3.0, held_out)
    offered(registry, "b", -4.0, held_out)
    registry.tag(registry.versions[1], {DEMOTED_TAG: "rolled back to version 1"})
    registry.promote(registry.versions[0])
    decision = offered(registry, "b", -4.0, held_out)
    assert (decision["alias"], decision["reason"]) == (None, "was demoted")
    assert registry.champion("tiny_wifo").number == 1


def results(values):
    """A table of results of {(model, seed, data set, split): NMSE in dB}, all of one question."""
    return as_table(
        {
            "evaluation": "prediction",
            "model": model,
            "seed": seed,
            "dataset": dataset,
            "question": "time",
            "split": split,
            "metric": "nmse",
            "value": 10 ** (value / 10),
        }
        for (model, seed, dataset, split), value in values.items()
    )


def test_description_is_a_table_of_the_version_that_is_registered():
    table = results(
        {
            ("tiny_wifo", 0, "munich", "test"): -3.5,
            ("tiny_wifo", 1, "munich", "test"): -9.0,
            ("sample_and_hold", None, "munich", "test"): 1.25,
            ("sample_and_hold", None, "d18", "test"): 2.0,
        }
    )
    decision = {"alias": CHAMPION, "reason": "no champion stood", "latency_ms": 2.5, "int8": "none: why"}
    candidate = Candidate("tiny_wifo", 0, {"time": -3.5}, {"time": -4.5})
    beside = scores_beside_reference(candidate, table, {"time": ["munich"]}, "sample_and_hold")
    assert list(beside) == ["time"] and set(beside["time"]["tiny_wifo"]) == {"munich", MEAN}
    text = description(candidate, decision, beside, 20.0, {"munich": "0123456789"})
    assert "| munich | 1.25 | -3.50 |" in text or "| munich | -3.50 | 1.25 |" in text
    assert f"| {MEAN} |" in text and "d18" not in text and "20 dB SNR" in text
    assert "registered as champion: no champion stood. One prediction takes 2.5 ms." in text
    assert "INT8 form: none: why." in text
    assert "-4.50 dB at 20 dB SNR, averaged over time and over the data sets munich (01234567)." in text


def test_same_model_makes_no_new_version():
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offered(registry, "a", -3.0, held_out)
    decision = offered(registry, "a", -3.0, held_out)
    assert (decision["version"], decision["alias"]) == (1, CHAMPION)
    assert len(registry.versions) == 1


@pytest.mark.parametrize(("champion_now", "alias"), [(-9.0, CHALLENGER), (-4.0, CHAMPION)])
def test_champion_is_scored_anew_when_the_data_changed(champion_now, alias):
    """On the new, harder data -5 dB can be worse or better than the champion's old -8 dB."""
    registry = FakeRegistry()
    offered(registry, "a", -8.0, FakeHeldOut("x"))
    changed = FakeHeldOut("y", {1: champion_now})
    decision = offered(registry, "b", -5.0, changed)
    assert decision["alias"] == alias
    assert decision["champion_before_validation_nmse_db"] == champion_now
    assert changed.asked == [1]
    # The new score is kept with the champion: it is computed once.
    offered(registry, "b", -5.0, changed)
    assert changed.asked == [1]


@given(DECIBEL, DECIBEL, st.floats(0, 1))
def test_two_models_never_both_beat_each_other(first, second, margin):
    assert not (is_better(first, second, margin) and is_better(second, first, margin))
    assert not is_better(first, first, margin)
    assert is_better(first, None, margin)


@given(st.lists(st.tuples(DECIBEL, DECIBEL, DECIBEL), min_size=1, max_size=5))
def test_seed_is_the_median_of_validation_whatever_the_test_says(values):
    def means(column, sign=1):
        return pandas.DataFrame(
            [
                {"model": "tiny_wifo", "question": question, "seed": seed, "nmse_db": sign * value[place]}
                for place, question in zip(column, ("time", "frequency"), strict=True)
                for seed, value in enumerate(values)
            ]
        )

    validation = means((0, 1))
    chosen = choose("tiny_wifo", means((2, 2)), validation)
    assert choose("tiny_wifo", means((2, 2), -1), validation).seed == chosen.seed
    ranked = sorted((first + second) / 2 for first, second, _ in values)
    assert sum(chosen.validation_nmse_db.values()) / 2 == ranked[(len(ranked) - 1) // 2]


def test_a_predictor_without_training_has_no_seed():
    table = pandas.DataFrame([{"model": "held", "question": "time", "seed": pandas.NA, "nmse_db": -1.0}])
    assert choose("held", table, table) == Candidate("held", None, {"time": -1.0}, {"time": -1.0})


def test_comparison_depends_on_data_questions_and_the_code_that_scores(monkeypatch):
    digests = {}
    monkeypatch.setattr(held_out, "digest", lambda path: digests.get(str(path), f"md5 of {path}"))
    content = tiny_parameters()

    def compared(name="wifo", **changes):
        content["evaluate"]["prediction"] |= changes
        return HeldOut(params.Params.model_validate(content), name)

    def md5(name="wifo", **changes):
        return compared(name, **changes).md5

    first = md5()
    assert md5(batch_size=7) == md5("autoregression") == first
    assert md5(snr_db=11.0) != first
    asked = compared(snr_db=11.0).asked_md5
    assert md5(snr_db=20.0) == first and compared().asked_md5 != asked
    asked = compared().asked_md5
    monkeypatch.chdir(Path(held_out.__file__).parents[1])
    scoring = ("wavefoundry/evaluation/metrics.py", "wavefoundry/evaluation/prediction.py", "stages/held_out.py",
               "stages/questions.py", "stages/loading.py")  # fmt: skip
    found = {md5()}
    for file in scoring:
        digests[file] = "another"
        assert compared().asked_md5 == asked
        found.add(md5())
    assert len(found) == 1 + len(scoring)


def test_the_best_entry_is_chosen_by_validation_among_those_that_answer_all_in_time():
    def entry(name, latency, **validation):
        test = dict.fromkeys(validation, -30.0 if name == "lucky" else -1.0)
        return Offered(Candidate(name, 0, test, validation), None, {"latency_ms": latency}, None, {})

    offered = {
        "half": entry("half", 1.0, time=-20.0),
        "slow": entry("slow", 11.0, time=-20.0, frequency=-20.0),
        "lucky": entry("lucky", 1.0, time=-4.0, frequency=-4.0),
        "best": entry("best", 1.0, time=-7.0, frequency=-3.0),
    }
    assert best_entry(offered, {"time", "frequency"}, 10.0) == "best"
    assert best_entry(offered, {"time", "frequency"}, 20.0) == "slow"
    assert best_entry(offered, {"time", "frequency", "both"}, 20.0) is None


@given(st.floats(0.0, 10.0), st.floats(0.0, 1000.0))
def test_the_best_entry_is_as_quick_under_its_second_name_as_under_its_own(latency, measured_again):
    registry, candidate = FakeRegistry(), Candidate("a", 0, {"time": -1.0}, {"time": -1.0})
    held_out = FakeHeldOut("x", latency=latency)
    version, decision, _ = offer(registry, candidate, "md5", lambda: LOGGED, held_out, GATE, "run", None)
    entry = Offered(candidate, version, decision, held_out, {})
    busy, best = FakeHeldOut("x", latency=measured_again), FakeRegistry()
    again = offer(best, candidate, "md5", partial(as_best, entry), busy, GATE, "run", None)[1]
    assert (again["alias"], again["latency_ms"]) == (CHAMPION, decision["latency_ms"])
    assert again["int8"] == decision["int8"]
