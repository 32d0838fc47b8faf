"""Charts of downstream tasks: the points are the means, and the picture repeats."""

import pytest

from wavefoundry.evaluation.downstream.tasks import TASKS
from wavefoundry.plots.downstream import best_by_patch, draw_curves, draw_patch_sizes


def scores(metric, validation, test):
    return {"validation": {metric: [validation, validation]}, "test": {metric: [test, test + 0.02]}}


def results():
    def one(offset):
        return {
            "curves": {
                task: {
                    fraction: scores(about.metric, 0.5, offset + 0.1 * step)
                    for step, fraction in enumerate(("0.1", "1"))
                }
                for task, about in TASKS.items()
            },
            "table": {
                task: {
                    "mean": {size: scores(about.metric, 0.5, offset) for size in ("2", "4")},
                    "class_token": {"2": scores(about.metric, 0.6, offset + 1), "4": scores(about.metric, 0.4, 9.0)},
                }
                for task, about in TASKS.items()
            },
        }

    return {"raw": one(0.2), "wimamba": one(0.4)}


@pytest.mark.parametrize("task", TASKS)
def test_curves_repeat_to_the_byte(task, tmp_path):
    some = results()
    reference = {"what": "nothing learnt", TASKS[task].metric: 0.1}
    for name in ("one.png", "other.png"):
        draw_curves(some, task, reference, tmp_path / "new" / name)
    first, second = ((tmp_path / "new" / name).read_bytes() for name in ("one.png", "other.png"))
    assert first == second and first.startswith(b"\x89PNG")


def test_the_representation_at_a_patch_size_is_the_best_on_the_validation_split():
    about = TASKS["los"]
    found = best_by_patch(results()["raw"]["table"]["los"], about)
    # At 2 the class token is better on validation, at 4 the mean, whatever the test split says.
    assert found == pytest.approx({"2": 1.21, "4": 0.21})


def test_patch_sizes_are_drawn(tmp_path):
    draw_patch_sizes(results(), 0.1, tmp_path / "sizes.png")
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG")
