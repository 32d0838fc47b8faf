"""What becomes champion, and that test data never choose the seed."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages import params, register
from stages.register import Candidate, HeldOut, choose, description, is_better, offer, scores_beside_reference
from storage.tracking.registry import CHALLENGER, CHAMPION, DEMOTED_TAG, MODEL_TAG, Version
from wavefoundry.config import Register

GATE = Register(margin_db=0.05, latency_limit_ms=10.0)
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
        self.versions.append(Version(name, len(self.versions) + 1, dict(tags)))
        return self.versions[-1]

    def tag(self, version, tags):
        version.tags.update(tags)

    def promote(self, version):
        self.set_alias(version, CHAMPION)

    def set_alias(self, version, alias):
        self.aliases = {key: value for key, value in self.aliases.items() if value != version} | {alias: version}


class FakeHeldOut:
    """Data with a name; `scores` says what a version scores on it."""

    def __init__(self, md5, scores=None, latency=5.0):
        self.md5, self.stores, self.scores, self.asked = md5, {"munich": md5}, scores or {}, []
        self.latency = latency

    def latency_ms(self, version):
        return self.latency

    def score_db(self, version):
        self.asked.append(version.number)
        return self.scores[version.number]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(register, "_log", lambda candidate, held_out, run_id: "m-1")


def candidate(weights, nmse_db, seed="seed_0"):
    folder = Path("models/tiny_wifo") / seed
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_text(weights)
    return Candidate("tiny_wifo", seed, {"time": nmse_db, "frequency": nmse_db}, {"time": -1.0, "frequency": -1.0})


def test_first_version_is_champion():
    registry = FakeRegistry()
    decision = offer(registry, candidate("a", -3.0), FakeHeldOut("x"), GATE, "run")
    assert (decision["alias"], decision["version"]) == (CHAMPION, 1)
    tags = registry.champion("tiny_wifo").tags
    assert tags["seed"] == "seed_0"
    assert tags["data.munich.md5"] == "x"
    assert tags["test_nmse_db.time"] == "-3.0"
    assert tags["scenarios"] == "munich"
    assert float(tags["latency_ms"]) == 5.0
    assert "git.commit" in tags


@pytest.mark.parametrize(
    ("nmse_db", "alias"), [(-3.2, CHAMPION), (-3.06, CHAMPION), (-3.04, CHALLENGER), (-2.0, CHALLENGER)]
)
def test_only_a_clear_gain_takes_the_alias(nmse_db, alias):
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offer(registry, candidate("a", -3.0), held_out, GATE, "run")
    decision = offer(registry, candidate("b", nmse_db), held_out, GATE, "run")
    assert decision["alias"] == alias
    assert registry.aliases[alias].number == 2
    assert registry.champion("tiny_wifo").number == (2 if alias == CHAMPION else 1)
    assert held_out.asked == []


def test_a_slow_version_is_never_champion():
    registry = FakeRegistry()
    decision = offer(registry, candidate("a", -9.0), FakeHeldOut("x", latency=10.5), GATE, "run")
    assert (decision["alias"], decision["latency_ms"]) == (CHALLENGER, 10.5)
    assert decision["reason"] == "no champion stood, but slower than 10.0 ms"
    assert registry.champion("tiny_wifo") is None


def test_a_demoted_version_stays_out():
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offer(registry, candidate("a", -3.0), held_out, GATE, "run")
    offer(registry, candidate("b", -4.0), held_out, GATE, "run")
    registry.tag(registry.versions[1], {DEMOTED_TAG: "rolled back to version 1"})
    registry.promote(registry.versions[0])
    decision = offer(registry, candidate("b", -4.0), held_out, GATE, "run")
    assert (decision["alias"], decision["reason"]) == (None, "was demoted")
    assert registry.champion("tiny_wifo").number == 1


def test_description_is_a_table_of_the_version_that_is_registered():
    numbers = {"munich": {"nmse_db": {"seed_0": -3.5, "seed_1": -9.0}}, "all": {"nmse_db": {"seed_0": -3.0}}}
    reference = {name: {"nmse_db": {"no_seed": 1.25}} for name in numbers}
    scores = {"tiny_wifo": {"time": numbers}, "sample_and_hold": {"time": reference}}
    decision = {"alias": CHAMPION, "reason": "no champion stood", "latency_ms": 2.5}
    offered = Candidate("tiny_wifo", "seed_0", {}, {})
    text = description(offered, decision, scores_beside_reference(offered, scores))
    assert "| munich | -3.50 | 1.25 |" in text.splitlines()
    assert "registered as champion: no champion stood. One prediction takes 2.5 ms." in text


def test_same_model_makes_no_new_version():
    registry, held_out = FakeRegistry(), FakeHeldOut("x")
    offer(registry, candidate("a", -3.0), held_out, GATE, "run")
    decision = offer(registry, candidate("a", -3.0), held_out, GATE, "run")
    assert (decision["version"], decision["alias"]) == (1, CHAMPION)
    assert len(registry.versions) == 1


@pytest.mark.parametrize(("champion_now", "alias"), [(-9.0, CHALLENGER), (-4.0, CHAMPION)])
def test_champion_is_scored_anew_when_the_data_changed(champion_now, alias):
    """On the new, harder data -5 dB can be worse or better than the champion's old -8 dB."""
    registry = FakeRegistry()
    offer(registry, candidate("a", -8.0), FakeHeldOut("x"), GATE, "run")
    changed = FakeHeldOut("y", {1: champion_now})
    decision = offer(registry, candidate("b", -5.0), changed, GATE, "run")
    assert decision["alias"] == alias
    assert decision["champion_before_nmse_db"] == champion_now
    assert changed.asked == [1]
    # The new score is kept with the champion: it is computed once.
    offer(registry, candidate("b", -5.0), changed, GATE, "run")
    assert changed.asked == [1]


@given(DECIBEL, DECIBEL, st.floats(0, 1))
def test_two_models_never_both_beat_each_other(first, second, margin):
    assert not (is_better(first, second, margin) and is_better(second, first, margin))
    assert not is_better(first, first, margin)
    assert is_better(first, None, margin)


@given(st.lists(st.tuples(DECIBEL, DECIBEL, DECIBEL), min_size=1, max_size=5))
def test_seed_is_the_median_of_validation_whatever_the_test_says(values):
    def scores(test_sign):
        return {
            axis: {
                "all": {
                    "nmse_db": {f"seed_{i}": test_sign * value[2] for i, value in enumerate(values)},
                    "validation_nmse_db": {f"seed_{i}": value[column] for i, value in enumerate(values)},
                }
            }
            for column, axis in enumerate(("time", "frequency"))
        }

    chosen = choose("tiny_wifo", scores(1))
    assert choose("tiny_wifo", scores(-1)).seed == chosen.seed
    ranked = sorted((first + second) / 2 for first, second, _ in values)
    assert sum(chosen.validation_nmse_db.values()) / 2 == ranked[(len(ranked) - 1) // 2]


def test_comparison_depends_on_data_and_task_only(monkeypatch):
    monkeypatch.setattr(register, "digest", lambda path: f"md5 of {path}")
    content = yaml.safe_load((Path(register.__file__).parents[1] / "params.yaml").read_text())

    def md5(**changes):
        content["evaluate"]["prediction"] |= changes
        return HeldOut(params.Params.model_validate(json.loads(json.dumps(content)))).md5

    first = md5()
    assert md5(batch_size=7, latency_repetitions=3) == first
    assert md5(snr_db=11.0) != first
