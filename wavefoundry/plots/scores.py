"""Chart of one predictor's scores, narrow enough for a page of a model registry."""

from pathlib import Path


def draw_scores(scores: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Bars of NMSE, one panel a question.

    Args:
        scores: {question: {predictor: {data set: NMSE in dB}}}, the same data sets for all predictors of a question.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 2.2 * len(scores)), layout="constrained")
    panels = figure.subplots(len(scores), 1, squeeze=False).flatten()
    for panel, (question, by_predictor) in zip(panels, scores.items(), strict=True):
        width = 0.8 / len(by_predictor)
        for position, (predictor, by_dataset) in enumerate(by_predictor.items()):
            places = [index + (position - (len(by_predictor) - 1) / 2) * width for index in range(len(by_dataset))]
            panel.bar(places, by_dataset.values(), width, label=predictor.replace("_", " "))
            panel.set_xticks(range(len(by_dataset)), [name.replace("_", " ") for name in by_dataset])
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set(ylabel="NMSE [dB]", title=f"{question}: lower is better")
        panel.grid(axis="y", alpha=0.3)
        panel.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
