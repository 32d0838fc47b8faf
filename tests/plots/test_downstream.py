"""Charts of downstream tasks: the points are the means, and the picture repeats."""

import pandas
import pytest
from PIL import Image

from tests.evaluation.downstream.example import OPTIONS, entry, section
from tests.evaluation.downstream.tables import reference_rows, score_rows, table
from wavefoundry.evaluation.downstream.parts import CURVE, SEARCH
from wavefoundry.evaluation.downstream.scores import ScoreTable
from wavefoundry.evaluation.downstream.task import tasks_of
from wavefoundry.plots import downstream
from wavefoundry.plots.downstream import best_by_patch, draw_curves, draw_patch_sizes, panel_grid, styles
from wavefoundry.plots.model_styles import model_styles

SECTION = section()
TASKS = tasks_of(SECTION)
STYLES = model_styles(["wimamba"], [])


def results() -> pandas.DataFrame:
    rows = []
    for model, offset in {"raw": 0.2, "wimamba": 0.4, "wimamba_untrained": 0.3}.items():
        for name, task in TASKS.items():
            for step, fraction in enumerate((0.1, 1.0)):
                test = offset + 0.1 * step
                values = {"validation": [0.5, 0.5], "test": [test, test + 0.02]}
                rows += score_rows(model, name, CURVE, ("mean", "2"), fraction, task.metric, values)
            if not model.endswith("untrained"):
                for kind, size, validation, test in (
                    ("mean", "2", 0.5, offset),
                    ("mean", "4", 0.5, offset),
                    ("class_token", "2", 0.6, offset + 1),
                    ("class_token", "4", 0.4, 9.0),
                ):
                    values = {"validation": [validation, validation], "test": [test, test + 0.02]}
                    rows += score_rows(model, name, SEARCH, (kind, size), 0.1, task.metric, values)
    return table(rows, reference_rows(SECTION))


@pytest.mark.parametrize("name", TASKS)
def test_curves_repeat_to_the_byte(name, tmp_path):
    for file in ("one.png", "other.png"):
        draw_curves(results(), name, TASKS[name], STYLES, tmp_path / "new" / file)
    first, second = ((tmp_path / "new" / file).read_bytes() for file in ("one.png", "other.png"))
    assert first == second and first.startswith(b"\x89PNG")


def test_the_representation_at_a_patch_size_is_the_best_on_the_validation_split():
    found = best_by_patch(ScoreTable(results()), "raw", "los", TASKS["los"])
    # At 2 the class token is better on validation, at 4 the mean, whatever the test split says.
    assert found == pytest.approx({"2": 1.21, "4": 0.21})


def test_patch_sizes_are_drawn(tmp_path):
    draw_patch_sizes(results(), TASKS, 0.1, STYLES, tmp_path / "sizes.png")
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", ["curves", "patch sizes"])
def test_every_picture_shows_and_names_what_needs_no_head(monkeypatch, tmp_path, draw):
    figures = []
    monkeypatch.setattr(downstream, "_save", lambda figure, path: figures.append(figure))
    if draw == "curves":
        for name, task in TASKS.items():
            draw_curves(results(), name, task, STYLES, tmp_path / "one.png")
    else:
        draw_patch_sizes(results(), TASKS, 0.1, STYLES, tmp_path / "sizes.png")
    panels = [panel for figure in figures for panel in figure.axes]
    assert len(panels) == len(TASKS)
    for panel in panels:
        (line,) = [line for line in panel.lines if line.get_linestyle() == ":"]
        assert set(line.get_ydata()) == {0.0}
        assert "a guess" in f"{line.get_label()} {panel.get_title()}"


@pytest.mark.parametrize(("count", "grid"), [(0, (1, 1)), (1, (1, 1)), (2, (1, 2)), (6, (2, 3)), (7, (3, 3))])
def test_panels_grow_with_the_tasks(count, grid):
    assert panel_grid(count) == grid


def test_the_picture_grows_with_the_tasks(tmp_path):
    tasks = tasks_of(section(tasks={f"{name}_{number}": entry(name) for name in OPTIONS for number in (1, 2)}))
    draw_patch_sizes(results(), TASKS, 0.1, STYLES, tmp_path / "six.png")
    draw_patch_sizes(results(), tasks, 0.1, STYLES, tmp_path / "twelve.png")
    six, twelve = Image.open(tmp_path / "six.png"), Image.open(tmp_path / "twelve.png")
    assert twelve.width == six.width and twelve.height == 2 * six.height


@pytest.mark.parametrize("count", [1, 10, 30])
def test_an_input_has_one_style_and_no_two_share_it(count):
    names = [f"network_{number}" for number in range(count)]
    models = ["raw", *(model for name in names for model in (name, f"{name}_untrained"))]
    of_study = model_styles(["hold", *names], ["hold"])
    found = styles(models, of_study)
    assert list(found) == models and found["raw"]["color"] == "black"
    colours = [found[name]["color"] for name in names]
    assert len(set(colours)) == count and "black" not in colours
    for name in names:
        trained, control = found[name], found[f"{name}_untrained"]
        assert trained["color"] == of_study[name]["color"]
        assert control["color"] == trained["color"] and control != trained
