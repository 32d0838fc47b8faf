"""NMSE over the horizon, over speed and over SNR, from a table of results."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas

# Metric of the table of results, label of the axis, and the unit at the end of the parts.
CURVES = {
    "horizon": ("nmse_of_step", "slots after the known ones", ""),
    "speed": ("nmse_of_speed", "speed of the user", "m/s"),
    "snr": ("nmse_at_snr", "SNR of the known block", "dB"),
}
# Shorter horizons end earlier: a mean over what is left would jump. Speeds differ from data set to data set by nature.
EVERYWHERE = ("nmse_of_step", "nmse_at_snr")


def curve_points(
    table: pandas.DataFrame, metric: str, question: str, datasets: Sequence[str]
) -> dict[str, list[tuple[str, float]]]:
    """(part, NMSE in dB) of every model that answers a question, in the order of the table.

    The mean is one of ratios over data sets and over seeds: over all data sets of the horizon and of SNR, up to the
    shortest horizon, and over those that have users of a speed.
    """
    rows = table[(table["metric"] == metric) & (table["question"] == question) & (table["split"] == "test")]
    rows = rows[rows["dataset"].isin(list(datasets))]
    if metric in EVERYWHERE:
        having = rows.groupby("part")["dataset"].nunique()
        rows = rows[rows["part"].isin(having.index[having == rows["dataset"].nunique()])]
    found = {}
    for model, some in rows.groupby("model", sort=False):
        means = some.groupby(["part", "dataset"], sort=False)["value"].mean().groupby("part", sort=False).mean()
        found[str(model)] = [(str(part), float(10 * np.log10(value))) for part, value in means.items()]
    return found


def ordered_parts(curves: Iterable[Sequence[tuple[str, float]]]) -> list[str]:
    """All parts of some curves, by the number that each begins with."""
    parts = dict.fromkeys(part for curve in curves for part, _ in curve)
    return sorted(parts, key=lambda part: float(part.split()[0]))
