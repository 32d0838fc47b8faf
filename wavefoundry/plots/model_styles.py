"""One colour for each model in all figures of a report: lines, bars and their legends look up the same styles."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import TypedDict

# Ten hues, then the same ten lighter with another mark: neighbours in the order of the study stay apart.
COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
)  # fmt: skip
MARKERS = ("o", "s")  # of each ten
LABEL_WIDTH = 36  # characters of a line in a legend


class Style(TypedDict):
    """What matplotlib's lines take."""

    color: str
    linestyle: str
    marker: str
    markersize: float


def model_styles(models: Sequence[str], methods: Sequence[str]) -> dict[str, Style]:
    """Colour, mark and dash of every model of a study.

    Args:
        models: all of them, in the order of the study; it decides about the colours.
        methods: those without training, which are dashed.
    """
    colours = COLOURS if len(models) <= len(COLOURS) else _many_colours(len(models))
    return {
        model: {
            "color": colours[number],
            "linestyle": "--" if model in methods else "-",
            "marker": MARKERS[number // 10 % len(MARKERS)],
            "markersize": 3.5,
        }
        for number, model in enumerate(models)
    }


def legend_below(figure, panels: Iterable) -> None:
    """One legend for all panels below them, where it covers nothing, in as many columns as fit into the figure."""
    found: dict = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        found |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in found}
    if not found:
        return
    labels = [textwrap.fill(label, LABEL_WIDTH) for label in found]
    place = {"loc": "outside lower center", "fontsize": "small"}
    for columns in range(2 if figure.get_figwidth() < 6 else 3, 0, -1):
        legend = figure.legend(found.values(), labels, ncols=columns, **place)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _many_colours(count: int) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["turbo"](number / (count - 1))) for number in range(count)]
