"""Who beats the raw channel follows the numbers: chosen on validation, judged on test, by more than the spread."""

import pytest

from wavefoundry.evaluation.downstream.tasks import TASKS
from wavefoundry.evaluation.downstream.verdicts import judge


def scores(metric, validation, test):
    return {"validation": {metric: validation}, "test": {metric: test}}


def result(by_task, round_trip=-15.0, patch_size="4"):
    """An input with the given (validation, test) scores at 10 % of the labels, in every task."""
    curves = {task: {"0.1": scores(about.metric, *by_task(about))} for task, about in TASKS.items()}
    return {
        "table": {task: {"per_patch": {"4": curve["0.1"]}} for task, curve in curves.items()},
        "chosen": {task: ("per_patch", patch_size) for task in TASKS},
        "curves": curves,
        "round_trip": {patch_size: round_trip},
    }


def results(pretrained, raw=(0.5, 0.5)):
    """Scores are given as errors, so that less is better in every task."""

    def as_scores(errors):
        return lambda about: tuple([-value if about.higher_is_better else value for value in part] for part in errors)

    return {name: result(as_scores(([one[0]] * 2, list(one[1:])))) for name, one in pretrained.items()} | {
        "raw": result(as_scores(([raw[0]] * 2, [raw[1]] * 2)), patch_size="8")
    }


@pytest.mark.parametrize(
    ("test_scores", "beats"), [((0.1, 0.3), True), ((0.3, 0.6), False), ((0.5, 0.5), False), ((0.8, 0.8), False)]
)
def test_a_margin_within_the_spread_is_no_victory(test_scores, beats):
    """Means 0.2, 0.45, 0.5, 0.8 against 0.5, with deviations 0.14, 0.21, 0, 0."""
    for verdict in judge(results({"wimamba": (0.2, *test_scores)}), 0.1):
        assert verdict.beats == beats
        assert verdict.margin == pytest.approx(0.5 - sum(test_scores) / 2)


def test_the_best_is_chosen_on_the_validation_split_though_another_one_tests_better():
    for verdict in judge(results({"lwm": (0.2, 0.3, 0.3), "wifo": (0.3, 0.1, 0.1)}), 0.1):
        assert verdict.best == "lwm" and abs(verdict.score) == pytest.approx(0.3)


def test_a_network_that_was_never_trained_is_no_pretrained_one_but_is_told_of():
    for verdict in judge(results({"wimamba": (0.3, 0.3, 0.3), "wimamba_untrained": (0.1, 0.1, 0.1)}), 0.1):
        assert verdict.best == "wimamba" and verdict.gained is False
        assert "wimamba as it was before any training" in verdict.reasons[0]


def test_channel_tasks_tell_what_a_patch_has_lost():
    by_task = {verdict.task: verdict for verdict in judge(results({"wimamba": (0.6, 0.6, 0.6)}), 0.1)}
    assert any("-15.0 dB" in reason for reason in by_task["estimation"].reasons)
    assert not any("-15.0 dB" in reason for reason in by_task["los"].reasons)


def test_what_pretraining_gains_is_told_apart_from_what_the_network_gives():
    for verdict in judge(results({"lwm": (0.1, 0.1, 0.1), "lwm_untrained": (0.3, 0.2, 0.4)}), 0.1):
        assert verdict.beats and verdict.gained
    for verdict in judge(results({"lwm": (0.1, 0.3, 0.3), "lwm_untrained": (0.3, 0.2, 0.5)}), 0.1):
        assert verdict.beats and verdict.gained is False
    assert all(verdict.gained is None for verdict in judge(results({"wifo": (0.1, 0.1, 0.1)}), 0.1))
