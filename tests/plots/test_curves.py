"""Charts of a study show the numbers of the table: bars are means over seeds, and whiskers their spread."""

import numpy as np
import pandas
import pytest
from PIL import Image

from tests.evaluation.tables import scores
from wavefoundry.plots import curves
from wavefoundry.plots.model_styles import model_styles

TABLE = scores(
    {
        ("hold", None, "d1", "time"): 1.0,
        ("hold", None, "d2", "time"): 0.1,
        ("wifo", 0, "d1", "time"): 0.1,
        ("wifo", 1, "d1", "time"): 0.01,
        ("wifo", 0, "d1", "frequency"): 0.5,
    }
)

STYLES = model_styles(["hold", "wifo", "lwm", "temporal", "tiny"], ["hold"])


@pytest.fixture
def figures(monkeypatch):
    """The figures that would be saved."""
    found = []
    monkeypatch.setattr(curves, "save", lambda figure, path: found.append(figure))
    return found


def test_bars_are_means_over_seeds_in_db_and_what_is_missing_has_none(figures, tmp_path):
    curves.draw_nmse(TABLE, "time", STYLES, tmp_path / "nmse.png")
    (panel,) = figures[0].axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in panel.containers if len(bars)
               and hasattr(bars[0], "get_height")}  # fmt: skip
    assert heights["hold"] == pytest.approx([0, -10])
    assert heights["wifo"][0] == pytest.approx(-15) and np.isnan(heights["wifo"][1])
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["d1", "d2"]
    whiskers = [bars.errorbar.lines[2][0].get_segments() for bars in panel.containers if hasattr(bars, "patches")]
    # One of wifo on d1: the standard deviation of -10 dB and -20 dB, up and down.
    ends = whiskers[1][0][:, 1]
    assert (ends[1] - ends[0]) / 2 == pytest.approx(np.std([-10, -20], ddof=1))


def test_a_question_that_nobody_answers_is_an_empty_chart(tmp_path):
    curves.draw_nmse(TABLE, "both", STYLES, tmp_path / "new/nmse.png")
    assert Image.open(tmp_path / "new/nmse.png").width > 100


def test_one_panel_a_model_and_one_line_a_seed_and_stage(figures, tmp_path):
    plain = pandas.DataFrame({"seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2], "loss": [1.0, 0.5, 1.0, 0.4]})
    staged = plain[:2].assign(stage=["pretraining", "prediction"])
    distilled = plain.assign(self_loss=[0.9, 0.4, 0.9, 0.3], phase=["autonomous", "passive"] * 2)
    curves.draw_learning_curves({"lwm": plain, "temporal": staged, "tiny": distilled}, STYLES, tmp_path / "curves.png")
    lwm, temporal, tiny = figures[0].axes
    assert [line.get_label() for line in lwm.lines] == ["seed 0", "seed 1"]
    assert [line.get_label() for line in temporal.lines] == ["pretraining, seed 0", "prediction, seed 0"]
    for name, panel in zip(("lwm", "temporal", "tiny"), figures[0].axes, strict=True):
        assert {line.get_color() for line in panel.lines} == {STYLES[name]["color"]}
        assert len({line.get_linestyle() for line in panel.lines}) == 2
    # A student's own loss, and its first seed's epochs with a teacher shaded.
    assert [list(line.get_ydata()) for line in tiny.lines] == [[0.9, 0.4], [0.9, 0.3]]
    assert len(tiny.patches) == 1 and len(lwm.patches) == 0


def test_one_epoch_is_no_curve():
    plain = pandas.DataFrame({"seed": [0, 1], "epoch": [1, 1], "loss": [1.0, 0.5]})
    assert not curves.has_curve(plain)
    assert curves.has_curve(plain.assign(epoch=[1, 2]))
