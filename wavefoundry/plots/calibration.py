"""Expected against measured error of predictors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from wavefoundry.evaluation.calibration import calibration_points
from wavefoundry.plots.curves import save
from wavefoundry.plots.model_styles import Style, legend_below


def draw_calibration(
    samples: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], styles: Mapping[str, Style], path: Path
) -> bool:
    """One panel for each question; False, and nothing is drawn, where no model says what it expects.

    Args:
        samples: as `wavefoundry.evaluation.results.SAMPLE_COLUMNS`.
        datasets: by question, whose samples count.
        styles: of the models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    points = {question: calibration_points(samples, question, names) for question, names in datasets.items()}
    points = {question: found for question, found in points.items() if found}
    if not points:
        return False
    figure = Figure(figsize=(5.2, 3.4 * len(points) + 0.5), layout="constrained")
    panels = figure.subplots(len(points), 1, squeeze=False).flatten()
    for panel, (question, found) in zip(panels, points.items(), strict=True):
        ends = [value for some in found.values() for point in some for value in point]
        panel.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.7", label="as expected")
        for model, some in found.items():
            panel.plot(*zip(*some, strict=True), label=model.replace("_", " "), **styles[model])
        panel.set(title=question, xlabel="expected NMSE of a tenth of the samples [dB]", ylabel="measured NMSE [dB]")
        panel.grid(alpha=0.3)
    legend_below(figure, panels)
    save(figure, path)
    return True
