"""How predictions hold: NMSE over the horizon, over speed and over SNR, and its distribution over samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from wavefoundry.evaluation.prediction_curves import CURVES, curve_points, ordered_parts
from wavefoundry.plots.curves import save
from wavefoundry.plots.model_styles import Style, legend_below


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
        parts = ordered_parts(curves.values())
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
