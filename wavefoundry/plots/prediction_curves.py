"""How predictions hold: NMSE over the horizon, over speed and over SNR, and its distribution over samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from wavefoundry.plots.curves import save
from wavefoundry.plots.model_styles import Style, legend_below

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
    import numpy as np

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


def draw_curves(
    table: pandas.DataFrame, kind: str, datasets: Mapping[str, Sequence[str]], styles: Mapping[str, Style], path: Path
) -> bool:
    """One panel for each question that has such scores; False, and nothing is drawn, where none has.

    Args:
        table: of results.
        kind: one of `CURVES`.
        datasets: by question, over which the means are taken.
        styles: of the models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    metric, label, unit = CURVES[kind]
    points = {question: curve_points(table, metric, question, names) for question, names in datasets.items()}
    points = {question: curves for question, curves in points.items() if any(len(one) > 1 for one in curves.values())}
    if not points:
        return False
    figure = Figure(figsize=(5.2, 3.4 * len(points) + 0.26 * len(styles) / 2), layout="constrained")
    panels = figure.subplots(len(points), 1, squeeze=False).flatten()
    for panel, (question, curves) in zip(panels, points.items(), strict=True):
        parts = list(dict.fromkeys(part for one in curves.values() for part, _ in one))
        parts.sort(key=lambda part: float(part.split()[0]))
        for model, one in curves.items():
            panel.plot(
                [parts.index(part) for part, _ in sorted(one, key=lambda point: parts.index(point[0]))],
                [value for _, value in sorted(one, key=lambda point: parts.index(point[0]))],
                label=model.replace("_", " "),
                **styles[model],
            )
        step = max(1, len(parts) // 8)
        panel.set_xticks(range(0, len(parts), step), [part.removesuffix(f" {unit}") for part in parts[::step]])
        panel.set(title=question, xlabel=f"{label} [{unit}]" if unit else label, ylabel="NMSE [dB]")
        panel.grid(alpha=0.3)
    legend_below(figure, panels)
    save(figure, path)
    return True


def draw_distribution(
    samples: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], styles: Mapping[str, Style], path: Path
) -> None:
    """Share of the samples with less than an NMSE, one panel for each question.

    Args:
        samples: as `wavefoundry.evaluation.results.SAMPLE_COLUMNS`; the first seed of a model is drawn.
        datasets: by question, whose samples count.
        styles: of the models.
        path: PNG file to write.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4 * len(datasets) + 0.26 * len(styles) / 2), layout="constrained")
    panels = figure.subplots(len(datasets), 1, squeeze=False).flatten()
    for panel, (question, names) in zip(panels, datasets.items(), strict=True):
        rows = samples[(samples["question"] == question) & samples["dataset"].isin(list(names))]
        for model, some in rows.groupby("model", sort=False):
            first = some[some["seed"].isna() | (some["seed"] == some["seed"].min())]
            values = np.sort(10 * np.log10(first["nmse"].to_numpy().clip(1e-6)))
            shares = np.arange(1, len(values) + 1) / len(values)
            every = max(1, len(values) // 6)  # a mark on each sample would hide the line
            marks = (every // 2, every)
            label = str(model).replace("_", " ")
            panel.plot(values, shares, label=label, markevery=marks, **styles[str(model)])
        panel.set(title=question, xlabel="NMSE of a sample [dB]", ylabel="share of the samples", xlim=(-30, 10))
        panel.grid(alpha=0.3)
    legend_below(figure, panels)
    save(figure, path)
