"""Who beats the raw channel follows the numbers: chosen on validation, judged on test, by more than the spread."""

import pandas
import pytest

from tests.evaluation.downstream.example import section
from tests.evaluation.downstream.tables import errors_of, table
from wavefoundry.evaluation.downstream.task import tasks_of
from wavefoundry.evaluation.downstream.verdicts import Verdict, judge
from wavefoundry.evaluation.results import COLUMNS

SECTION = section(label_fractions=[0.1, 1.0], choice_fraction=0.1)
TASKS = tasks_of(SECTION)


def verdicts(pretrained: dict[str, tuple[float, ...]], raw: tuple[float, float] = (0.5, 0.5), **options):
    """Scores are given as errors: of the validation split, and then those of the test split, one for each seed."""
    rows = [errors_of(SECTION, "raw", raw[0], [raw[1]] * 2, patch_size="8", **options)]
    rows += [errors_of(SECTION, name, one[0], list(one[1:]), **options) for name, one in pretrained.items()]
    return judge(table(*rows), TASKS, 0.1)


@pytest.mark.parametrize(
    ("test_scores", "beats"), [((0.1, 0.3), True), ((0.3, 0.6), False), ((0.5, 0.5), False), ((0.8, 0.8), False)]
)
def test_a_margin_within_the_spread_is_no_victory(test_scores, beats):
    """Means 0.2, 0.45, 0.5, 0.8 against 0.5, with deviations 0.14, 0.21, 0, 0."""
    found = verdicts({"wimamba": (0.2, *test_scores)})
    assert [verdict.task for verdict in found] == list(TASKS)
    for verdict in found:
        assert verdict.beats == beats
        assert verdict.margin == pytest.approx(0.5 - sum(test_scores) / 2)


def test_the_best_is_chosen_on_the_validation_split_though_another_one_tests_better():
    for verdict in verdicts({"lwm": (0.2, 0.3, 0.3), "wifo": (0.3, 0.1, 0.1)}):
        assert verdict.best == "lwm" and abs(verdict.score) == pytest.approx(0.3)


def test_a_network_that_was_never_trained_is_no_pretrained_one_but_is_told_of():
    for verdict in verdicts({"wimamba": (0.3, 0.3, 0.3), "wimamba_untrained": (0.1, 0.1, 0.1)}):
        assert verdict.best == "wimamba" and verdict.gained is False
        assert "wimamba as it was before any training" in verdict.reasons[0]


def test_channel_tasks_tell_what_a_patch_has_lost():
    by_task: dict[str, Verdict] = {verdict.task: verdict for verdict in verdicts({"wimamba": (0.6, 0.6, 0.6)})}
    assert any("-15.0 dB" in reason for reason in by_task["estimation"].reasons)
    assert any("in patches of 4 x 4 too, the raw channel" in reason for reason in by_task["estimation"].reasons)
    assert not any("-15.0 dB" in reason for reason in by_task["los"].reasons)


def test_what_pretraining_gains_is_told_apart_from_what_the_network_gives():
    for verdict in verdicts({"lwm": (0.1, 0.1, 0.1), "lwm_untrained": (0.3, 0.2, 0.4)}):
        assert verdict.beats and verdict.gained
    for verdict in verdicts({"lwm": (0.1, 0.3, 0.3), "lwm_untrained": (0.3, 0.2, 0.5)}):
        assert verdict.beats and verdict.gained is False
    assert all(verdict.gained is None for verdict in verdicts({"wifo": (0.1, 0.1, 0.1)}))


def test_what_all_labels_give_is_told_where_fewer_decide():
    told = "with all labels lwm reaches"
    for verdict in verdicts({"lwm": (0.1, 0.3, 0.3)}, fractions=(0.1, 1.0)):
        assert told in verdict.reasons[-1]
    assert not any(told in reason for verdict in verdicts({"lwm": (0.1, 0.3, 0.3)}) for reason in verdict.reasons)


def test_nothing_is_judged_where_one_side_was_not_measured():
    assert verdicts({}) == []
    assert judge(table(errors_of(SECTION, "lwm", 0.1, [0.1])), TASKS, 0.1) == []


def test_other_results_and_the_way_through_a_file_change_no_verdict(tmp_path):
    rows = [errors_of(SECTION, "raw", 0.5, [0.5, 0.51]), errors_of(SECTION, "lwm", 0.2, [0.3, 0.4])]
    others = [{"evaluation": "prediction", "model": "lwm", "question": "los", "metric": "nmse", "value": 0.1}]
    expected = judge(table(*rows), TASKS, 0.1)
    table(*rows, others).to_csv(tmp_path / "results.csv", index=False, float_format="%.9g")
    found = pandas.read_csv(tmp_path / "results.csv", dtype=COLUMNS)
    assert judge(found, TASKS, 0.1) == expected
