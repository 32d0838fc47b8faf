"""One colour for each model in all figures of a report."""

from collections.abc import Sequence
from typing import TypedDict

# Ten hues, then the same ten lighter: neighbours in the order of the study stay apart.
COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
)  # fmt: skip


class Style(TypedDict):
    """What matplotlib's lines take."""

    color: str
    linestyle: str


def model_styles(models: Sequence[str], methods: Sequence[str]) -> dict[str, Style]:
    """Colour and dash of every model of a study.

    Args:
        models: all of them, in the order of the study; it decides about the colours.
        methods: those without training, which are dashed.
    """
    return {
        model: {"color": COLOURS[number % len(COLOURS)], "linestyle": "--" if model in methods else "-"}
        for number, model in enumerate(models)
    }
