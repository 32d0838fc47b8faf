"""Charts of the downstream tasks: scores over the share of labels, and over patch sizes."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from wavefoundry.evaluation.downstream.options import RAW, RAW_LMMSE, UNTRAINED
from wavefoundry.evaluation.downstream.parts import CURVE, SEARCH
from wavefoundry.evaluation.downstream.reference import without_head
from wavefoundry.evaluation.downstream.scores import ScoreTable
from wavefoundry.evaluation.downstream.task import DownstreamTask
from wavefoundry.evaluation.downstream.wording import heading, in_words
from wavefoundry.evaluation.over_seeds import spread
from wavefoundry.plots.model_styles import Style, legend_below

COLUMNS = 3  # of panels
TITLE_WIDTH = 40  # characters of a line above a panel
PANEL = (3.7, 3.3)  # width and height [inch]
WITHOUT_HEAD: dict[str, Any] = {"color": "grey", "linestyle": ":"}


def draw_curves(
    table: pandas.DataFrame, name: str, task: DownstreamTask, models: Mapping[str, Style], path: Path
) -> None:
    """Test score of every input over the share of the training labels, mean and standard deviation over seeds, and what
    is reached without a head.

    A network as it was before any training has the colour of the trained one and a hollow mark.

    Args:
        table: the results of all entries, joined.
        name: entry of the task.
        task: the task.
        models: styles of the study's models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    scores = ScoreTable(table)
    curves = scores.pick(question=name, part=CURVE, metric=task.metric, split="test")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    panel = figure.subplots()
    for model, style in styles(scores.models, models).items():
        curve = curves[curves["model"] == model]
        if curve.empty:
            continue
        percent = 100 * curve["label_fraction"].to_numpy(float)
        mean, deviation = (curve["values"].map(value).to_numpy(float) for value in (statistics.mean, spread))
        panel.plot(percent, mean, label=model.replace("_", " "), **style)
        panel.fill_between(percent, mean - deviation, mean + deviation, color=style["color"], alpha=0.15)
    if reference := without_head(scores, name, task.metric):
        panel.axhline(reference.score, label=f"{reference.answer} (no head)", **WITHOUT_HEAD)
    panel.set(xscale="log", xlabel="share of the training labels [%]", ylabel=_axis(task), title=heading(task))
    ticks = sorted(100 * curves["label_fraction"].drop_duplicates().to_numpy(float))
    panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
    panel.set_xticks([], minor=True)
    panel.grid(alpha=0.3)
    legend_below(figure, [panel])
    _save(figure, path)


def draw_patch_sizes(
    table: pandas.DataFrame,
    tasks: Mapping[str, DownstreamTask],
    fraction: float,
    models: Mapping[str, Style],
    path: Path,
) -> None:
    """Test score of the inputs that have several patch sizes, the best representation at each, and what is reached
    without a head; one panel a task.

    Args:
        table: the results of all entries, joined.
        tasks: by the names of their entries.
        fraction: of the labels, for the headline.
        models: styles of the study's models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    scores = ScoreTable(table)
    rows, columns = panel_grid(len(tasks))
    figure = Figure(figsize=(columns * PANEL[0], rows * PANEL[1]), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    for panel, (name, task) in zip(panels, tasks.items(), strict=False):
        for model, style in styles(scores.models, models).items():
            by_patch = best_by_patch(scores, model, name, task)
            if len(by_patch) > 1:
                sizes = [int(size) for size in by_patch]
                panel.plot(sizes, list(by_patch.values()), label=model.replace("_", " "), **style)
                panel.set_xticks(sizes)
        title = heading(task)
        if reference := without_head(scores, name, task.metric):
            panel.axhline(reference.score, label="no head, as named above", **WITHOUT_HEAD)
            title += "\n" + textwrap.fill(f"no head: {reference.answer}", TITLE_WIDTH)
        panel.set_title(title, fontsize="medium")
        panel.set(xlabel="patch size", ylabel=_axis(task))
        panel.grid(alpha=0.3)
    legend_below(figure, panels)
    figure.suptitle(f"One set of weights at every patch size, {fraction:.0%} of the labels")
    _save(figure, path)


def panel_grid(count: int) -> tuple[int, int]:
    """Rows and columns of a grid for so many panels, at least one."""
    columns = min(COLUMNS, max(1, count))
    return max(1, -(-count // columns)), columns


def styles(inputs: Sequence[str], models: Mapping[str, Style]) -> dict[str, dict[str, Any]]:
    """How each input is drawn: the same in all pictures of one study, and unlike every other input.

    Args:
        inputs: of the downstream tasks in the order of the results: models, their controls and the raw channel.
        models: styles of the study's models.
    """
    found: dict[str, dict[str, Any]] = {}
    for model in inputs:
        if model == RAW:
            found[model] = {"color": "black", "linewidth": 2, "marker": "o"}
        elif model == RAW_LMMSE:
            found[model] = {"color": "black", "linewidth": 2, "marker": "s", "linestyle": "--"}
        elif model.endswith(UNTRAINED):
            trained = models[model.removesuffix(UNTRAINED)]
            found[model] = {**trained, "markersize": 6, "markerfacecolor": "none", "linestyle": "--"}
        else:
            found[model] = {**models[model], "markersize": 6}
    return found


def best_by_patch(scores: ScoreTable, model: str, name: str, task: DownstreamTask) -> dict[str, float]:
    """{patch size: mean test score} of the representation that is best on the validation split at that size."""
    found = scores.pick(model=model, question=name, part=SEARCH, metric=task.metric)
    best: dict[str, tuple[float, float]] = {}
    for (size, _), rows in found.groupby(["patch_size", "representation"], sort=False):
        by_split = {row["split"]: statistics.mean(row["values"]) for _, row in rows.iterrows()}
        if size not in best or task.better(by_split["validation"], best[size][0]):
            best[size] = by_split["validation"], by_split["test"]
    return {size: tested for size, (_, tested) in best.items()}


def _axis(task: DownstreamTask) -> str:
    return f"{in_words(task.metric)}, {'higher' if task.higher_is_better else 'lower'} is better"


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
