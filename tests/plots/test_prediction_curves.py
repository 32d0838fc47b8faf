"""Curves of predictions show the means of the table, one colour a model, and a legend that covers nothing."""

import pandas
import pytest
from PIL import Image

from wavefoundry.evaluation.prediction_curves import curve_points
from wavefoundry.evaluation.results import as_table, table_of_samples
from wavefoundry.plots import prediction_curves
from wavefoundry.plots.model_styles import COLOURS, model_styles
from wavefoundry.plots.prediction_curves import draw_curves, draw_distribution
from wavefoundry.report.prediction import curve_table

STYLES = model_styles(["hold", "wifo"], ["hold"])
DATASETS = {"time": ["d1", "d2"], "both": ["d1"]}


def rows(values):
    """{(model, seed, dataset, question, part): ratio} as rows over the horizon."""
    return as_table(
        {"model": model, "seed": seed, "dataset": dataset, "question": question, "part": part, "split": "test",
         "metric": "nmse_of_step", "value": ratio}
        for (model, seed, dataset, question, part), ratio in values.items()
    )  # fmt: skip


TABLE = rows(
    {
        ("hold", None, "d1", "time", "1"): 0.1,
        ("hold", None, "d2", "time", "1"): 0.3,
        ("hold", None, "d1", "time", "2"): 1.0,
        ("wifo", 0, "d1", "time", "1"): 0.1,
        ("wifo", 1, "d1", "time", "1"): 0.3,
        ("hold", None, "d2", "time", "2"): 1.0,
        # One data set sees further than the other.
        ("hold", None, "d1", "time", "3"): 9.0,
        ("wifo", 0, "d1", "time", "2"): 0.01,
        ("wifo", 0, "d2", "time", "1"): 0.2,
        ("wifo", 0, "d2", "time", "2"): 0.01,
        ("wifo", 0, "d3", "time", "1"): 9.0,
    }
)


@pytest.fixture
def figures(monkeypatch):
    """The figures that would be saved."""
    found = []
    monkeypatch.setattr(prediction_curves, "save", lambda figure, path: found.append(figure))
    return found


def test_points_are_means_of_ratios_over_data_sets_and_seeds():
    points = curve_points(TABLE, "nmse_of_step", "time", DATASETS["time"])
    assert points["hold"] == [("1", pytest.approx(-6.9897, abs=1e-3)), ("2", pytest.approx(0.0))]
    assert points["wifo"] == [("1", pytest.approx(-6.9897, abs=1e-3)), ("2", pytest.approx(-20.0))]


def test_the_same_points_stand_in_a_table():
    table = curve_table(TABLE, "horizon", "time", DATASETS["time"])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0] == ["time, slots after the known ones", "1", "2"]
    assert rows[2:] == [["hold", "-6.99", "0.00"], ["wifo", "-6.99", "-20.00"]]
    assert curve_table(TABLE, "speed", "time", DATASETS["time"]) is None


def test_every_model_has_its_colour_and_questions_without_a_curve_have_no_panel(figures, tmp_path):
    assert draw_curves(TABLE, "horizon", DATASETS, STYLES, tmp_path / "horizon.png")
    (panel,) = figures[0].axes
    assert [line.get_color() for line in panel.lines] == list(COLOURS[:2])
    assert [line.get_linestyle() for line in panel.lines] == ["--", "-"]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["1", "2"]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["hold", "wifo"]
    assert not draw_curves(TABLE, "speed", DATASETS, STYLES, tmp_path / "speed.png")
    assert len(figures) == 1


def test_the_distribution_counts_the_samples_of_the_first_seed(figures, tmp_path):
    samples = pandas.concat(
        table_of_samples(
            [{"model": "wifo", "seed": seed, "question": "time", "dataset": "d1", "sample": range(4), "nmse": values}]
        )
        for seed, values in ((0, [1.0, 0.1, 0.01, 0.001]), (1, [1.0] * 4))
    )
    draw_distribution(samples, {"time": ["d1"]}, STYLES, tmp_path / "distribution.png")
    (line,) = figures[0].axes[0].lines
    assert list(line.get_xdata()) == pytest.approx([-30, -20, -10, 0])
    assert list(line.get_ydata()) == [0.25, 0.5, 0.75, 1.0]


def test_pictures_are_narrow_enough_for_a_telephone(tmp_path):
    assert draw_curves(TABLE, "horizon", DATASETS, STYLES, tmp_path / "horizon.png")
    assert Image.open(tmp_path / "horizon.png").width <= 600
