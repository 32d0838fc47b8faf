"""Legends lie within their figure, however long their labels are."""

import pytest
from matplotlib.figure import Figure

from wavefoundry.plots.model_styles import legend_below

LONG = "what is reached without a head by the best beam of the last window, known without error"


@pytest.mark.parametrize("width", [5.2, 7.0, 10.0])
@pytest.mark.parametrize(
    "labels", [["a", "b"], [f"network {number}, before any training" for number in range(9)], [LONG] * 4]
)
def test_a_legend_is_no_wider_than_its_figure(width, labels):
    figure = Figure(figsize=(width, 6), layout="constrained")
    panel = figure.subplots()
    for number, label in enumerate(labels):
        panel.plot([0, 1], label=f"{label} {number}")
    legend_below(figure, [panel])
    (legend,) = figure.legends
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert [text.get_text().replace("\n", " ") for text in legend.get_texts()] == [
        f"{label} {number}" for number, label in enumerate(labels)
    ]


def test_short_labels_keep_their_columns():
    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    for number in range(6):
        panel.plot([0, 1], label=str(number))
    legend_below(figure, [panel])
    assert figure.legends[0]._ncols == 3
