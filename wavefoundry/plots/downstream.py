"""Charts of the downstream tasks: scores over the share of labels, and over patch sizes."""

import statistics
from pathlib import Path

from wavefoundry.evaluation.downstream.tasks import TASKS, Task
from wavefoundry.evaluation.downstream.verdicts import RAW


def draw_curves(results: dict, task: str, reference: dict, path: Path) -> None:
    """Test score of every input over the share of the training labels, mean and standard deviation over seeds.

    Args:
        results: {input: {"curves": {task: {fraction: {"test": {metric: [one per seed]}}}}}}.
        task: one of TASKS.
        reference: {"what": text, metric: value}, what is reached without learning from channels.
        path: PNG file to write.
    """
    import numpy as np
    from matplotlib.figure import Figure

    about = TASKS[task]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    panel = figure.subplots()
    for name, result in results.items():
        curve = result["curves"][task]
        fractions = np.array([float(fraction) for fraction in curve])
        seeds = np.array([scores["test"][about.metric] for scores in curve.values()])
        mean, spread = seeds.mean(axis=1), seeds.std(axis=1, ddof=1) if seeds.shape[1] > 1 else 0 * seeds[:, 0]
        style = {"color": "black", "linewidth": 2} if name == RAW else {}
        (line,) = panel.plot(100 * fractions, mean, marker="o", label=name.replace("_", " "), **style)
        panel.fill_between(100 * fractions, mean - spread, mean + spread, color=line.get_color(), alpha=0.15)
    panel.axhline(reference[about.metric], color="grey", linestyle=":", label=reference["what"])
    panel.set(
        xscale="log", xlabel="share of the training labels [%]", ylabel=_axis(about), title=about.title.capitalize()
    )
    percent = [100 * float(fraction) for fraction in next(iter(results.values()))["curves"][task]]
    panel.set_xticks(percent, [f"{value:g}" for value in percent])
    panel.set_xticks([], minor=True)
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
    _save(figure, path)


def draw_patch_sizes(results: dict, fraction: float, path: Path) -> None:
    """Test score of the models of several patch sizes, the best representation at each, one panel a task.

    Args:
        results: {input: {"table": {task: {representation: {patch size: {"validation" or "test": scores}}}}}}.
        fraction: of the labels, for the headline.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    for panel, (task, about) in zip(figure.subplots(2, 3).flatten(), TASKS.items(), strict=True):
        for number, (name, result) in enumerate(results.items()):
            by_patch = best_by_patch(result["table"][task], about)
            if len(by_patch) > 1:
                sizes = [int(size) for size in by_patch]
                # One colour for an input in all panels.
                color = "black" if name == RAW else f"C{number}"
                panel.plot(sizes, list(by_patch.values()), marker="o", color=color, label=name.replace("_", " "))
                panel.set_xticks(sizes)
        panel.set(title=about.title.capitalize(), xlabel="patch size", ylabel=_axis(about))
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize="small")
    figure.suptitle(f"One set of weights at every patch size, {fraction:.0%} of the labels")
    _save(figure, path)


def best_by_patch(table: dict, about: Task) -> dict[str, float]:
    """{patch size: mean test score} of the representation that is best on the validation split at that size."""
    best: dict[str, tuple[float, float]] = {}
    for by_patch in table.values():
        for size, scores in by_patch.items():
            reached, tested = (statistics.mean(scores[split][about.metric]) for split in ("validation", "test"))
            if size not in best or about.better(reached, best[size][0]):
                best[size] = reached, tested
    return {size: tested for size, (_, tested) in best.items()}


def _axis(about: Task) -> str:
    direction = "higher" if about.higher_is_better else "lower"
    words = about.metric.removesuffix("_m").removesuffix("_db").replace("_", " ").replace("nmse", "NMSE")
    return f"{words}{f' [{about.unit}]' if about.unit else ''}, {direction} is better"


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
