"""The chart of a registered version is there, and no wider than the page that shows it."""

from PIL import Image

from wavefoundry.plots.scores import draw_scores


def test_one_panel_an_axis(tmp_path):
    bars = {"tiny_wifo": {"munich": -5.0, "d4": -2.0}, "sample_and_hold": {"munich": -1.0, "d4": 2.0}}
    draw_scores({"time": bars}, tmp_path / "one.png")
    draw_scores({"time": bars, "frequency": bars}, tmp_path / "new/two.png")
    one, two = Image.open(tmp_path / "one.png"), Image.open(tmp_path / "new/two.png")
    assert one.width == two.width <= 800
    assert two.height == 2 * one.height
