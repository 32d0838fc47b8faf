"""NMSE of channel feedback over the bits of a slot, with the rate-distortion bound as a line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from wavefoundry.evaluation.feedback_summary import BOUND, feedback_means
from wavefoundry.plots.curves import save
from wavefoundry.plots.model_styles import Style, legend_below

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
            panel.plot(bits[curve.index], 10 * np.log10(curve), label=str(model), **styles[str(model)])
        for model, rows in means[means["metric"] == BOUND].groupby("model", sort=False):
            curve = rows.groupby("rate")["value"].mean().sort_index()
            label = f"Gaussian bound, covariance of {model}"
            panel.plot(bits[curve.index], 10 * np.log10(curve), color="black", linestyle=":", label=label)
        panel.set(title=title, xlabel="bits of a slot")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("NMSE [dB], lower is better")
    legend_below(figure, panels)
    save(figure, path)
    return True
