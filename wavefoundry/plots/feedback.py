"""NMSE of channel feedback over the bits of a slot, with the rate-distortion bound as a line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from wavefoundry.evaluation.feedback_summary import BOUND, feedback_means
from wavefoundry.plots.curves import save
from wavefoundry.plots.model_styles import Style

PANELS = (("nmse", "bits as they arrive"), ("nmse_error_free", "had every bit arrived"))


def draw_feedback(table: pandas.DataFrame, datasets: Sequence[str], styles: Mapping[str, Style], path: Path) -> bool:
    """One panel with the bit errors of the uplink, one without; False, and nothing is drawn, where there is nothing.

    Args:
        table: of results.
        datasets: over which the means are taken.
        styles: of the models.
        path: PNG file to write.
    """
    import numpy as np
    from matplotlib.figure import Figure

    means = feedback_means(table, datasets, "test")
    if means.empty:
        return False
    bits = means[means["metric"] == "bits"].groupby("rate")["value"].mean()
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for panel, (metric, title) in zip(panels, PANELS, strict=True):
        for model, rows in means[means["metric"] == metric].groupby("model", sort=False):
            curve = rows.groupby("rate")["value"].mean().sort_index()
            decibels = 10 * np.log10(curve)
            panel.plot(
                bits[curve.index], decibels, marker="o", label=str(model).replace("_", " "), **styles[str(model)]
            )
        for model, rows in means[means["metric"] == BOUND].groupby("model", sort=False):
            curve = rows.groupby("rate")["value"].mean().sort_index()
            label = f"Gaussian bound, covariance of {model.replace('_', ' ')}"
            panel.plot(bits[curve.index], 10 * np.log10(curve), color="black", linestyle=":", label=label)
        panel.set(title=title, xlabel="bits of a slot")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("NMSE [dB], lower is better")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    save(figure, path)
    return True
