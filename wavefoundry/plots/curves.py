"""Charts of a study: learning curves and NMSE by data set."""

from collections.abc import Mapping
from pathlib import Path

import pandas

from wavefoundry.plots.model_styles import Style

DASHES = ("-", "--", ":", "-.")  # of seeds


def draw_learning_curves(histories: dict[str, pandas.DataFrame], styles: Mapping[str, Style], path: Path) -> None:
    """Loss over epochs, one panel per model, one line per seed; the first seed's epochs with a teacher are shaded.

    Args:
        histories: by model; columns epoch, loss, seed, and where they apply self_loss (without the teacher's terms),
            stage (a run of epochs of its own) and phase ("passive": the teacher was asked).
        styles: of the models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(histories))
    rows = -(-len(histories) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels[len(histories) :]:
        panel.axis("off")
    for panel, (name, history) in zip(panels, histories.items(), strict=False):
        keys = [key for key in ("stage", "seed") if key in history]
        # A student's own loss: with the teacher's terms in some epochs only, the sum would jump.
        column = "self_loss" if "self_loss" in history else "loss"
        for number, (values, curve) in enumerate(history.groupby(keys, sort=False)):
            label = ", ".join(
                str(value) if key == "stage" else f"{key} {value}" for key, value in zip(keys, values, strict=True)
            )
            dash = DASHES[number % len(DASHES)]
            panel.plot(curve["epoch"], curve[column], label=label, **styles[name] | {"linestyle": dash})
        if "phase" in history:
            first = history[history["seed"] == history["seed"].iloc[0]]
            for epoch in first.loc[first["phase"] == "passive", "epoch"]:
                panel.axvspan(epoch - 0.5, epoch + 0.5, color="tab:orange", alpha=0.15, linewidth=0)
        panel.set(title=name.replace("_", " "), xlabel="epoch", ylabel="loss")
        if (history[column] > 0).all():
            panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize="small")
    save(figure, path)


def has_curve(history: pandas.DataFrame) -> bool:
    """Whether a history has more than one epoch: a single one is a dot, from which nothing can be seen.

    Args:
        history: as for `draw_learning_curves`.
    """
    return history["epoch"].nunique() > 1


def draw_nmse(table: pandas.DataFrame, question: str, styles: Mapping[str, Style], path: Path) -> None:
    """Test NMSE of every predictor on every data set about which it answers a question, with the spread over seeds.

    Args:
        table: of results.
        question: the question.
        styles: of the models.
        path: PNG file to write.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from wavefoundry.evaluation.over_seeds import spread
    from wavefoundry.evaluation.summary import by_dataset_nmse_db

    rows = by_dataset_nmse_db(table, "test")
    rows = rows[rows["question"] == question]
    datasets, models = (list(dict.fromkeys(rows[column])) for column in ("dataset", "model"))
    values = {key: list(some["nmse_db"]) for key, some in rows.groupby(["model", "dataset"], sort=False)}
    figure = Figure(figsize=(max(9, 2.4 * len(datasets)), 3.6), layout="constrained")
    panel = figure.subplots()
    width = 0.8 / max(1, len(models))
    for position, name in enumerate(models):
        seeds = [values.get((name, dataset), [np.nan]) for dataset in datasets]
        panel.bar(
            np.arange(len(datasets)) + (position - (len(models) - 1) / 2) * width,
            [np.mean(some) for some in seeds],
            width,
            yerr=[spread(some) for some in seeds],
            capsize=2,
            label=name.replace("_", " "),
            color=styles[name]["color"],
            hatch="//" if styles[name]["linestyle"] == "--" else None,
            edgecolor="white",
            linewidth=0,
        )
    panel.axhline(0, color="black", linewidth=0.8)
    panel.set_xticks(range(len(datasets)), [dataset.replace("_", " ") for dataset in datasets])
    panel.set(ylabel="NMSE [dB], lower is better", title=f"{question}: prediction on held-out trajectories")
    panel.grid(axis="y", alpha=0.3)
    if models:
        panel.legend(fontsize="small", ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save(figure, path)


def save(figure, path: Path) -> None:
    """Write a figure as PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
