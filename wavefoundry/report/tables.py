"""Tables in markdown, and figures over seeds as text."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table; cells become text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """ "-7.12 ± 0.10", mean and standard deviation over seeds, or "-7.12" where there is one."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def significant(value: float, digits: int) -> str:
    """A number of any size to so many significant digits, without an exponent: 147.3 to two is "150"."""
    return np.format_float_positional(value, precision=digits, unique=False, fractional=False, trim="-")


def summary_table(summaries: Mapping[str, Mapping[str, object]], by_row: bool = False) -> str:
    """The figures of several subjects side by side, "-" where one has none.

    Args:
        summaries: {subject: {figure: value}}.
        by_row: one row a subject, otherwise one column.
    """
    figures = list(dict.fromkeys(figure for summary in summaries.values() for figure in summary))
    if by_row:
        rows = [[name, *(_cell(summary.get(figure)) for figure in figures)] for name, summary in summaries.items()]
        return markdown_table(["", *(figure.replace("_", " ") for figure in figures)], rows)
    rows = [
        [figure.replace("_", " "), *(_cell(summary.get(figure)) for summary in summaries.values())]
        for figure in figures
    ]
    return markdown_table(["", *summaries], rows)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return significant(value, 4) if isinstance(value, float) else str(value)
