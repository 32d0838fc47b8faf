"""Error of predictors against what they cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from wavefoundry.evaluation.tradeoff import Cost, Tradeoff, front_of
from wavefoundry.plots.model_styles import Style, legend_below

COSTS: tuple[tuple[Cost, str], ...] = (
    ("latency_ms", "latency in PyTorch [ms]"),
    ("mebibytes", "weights [MiB]"),
    ("energy_mj", "energy [mJ]"),
)


def draw_tradeoffs(found: Sequence[Tradeoff], styles: Mapping[str, Style], path: Path) -> None:
    """NMSE against latency, the size of the weights, and the energy where that of any predictor was measured; a line
    joins those that none beats in both.

    Args:
        found: the predictors.
        styles: of the models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    drawn = [(cost, label) for cost, label in COSTS if any(getattr(one, cost) is not None for one in found)]
    figure = Figure(figsize=(4.5 * len(drawn), 5.2), layout="constrained")
    panels = figure.subplots(1, len(drawn), sharey=True)
    for panel, (cost, label) in zip(panels, drawn, strict=True):
        places = {one.model: (getattr(one, cost), one.nmse_db) for one in found if getattr(one, cost) is not None}
        # What has no weights stands at the left end, where a logarithm can show it.
        positive = [place for place, _ in places.values() if place > 0]
        left = min(positive, default=1.0) / 3
        places = {model: (place if place > 0 else left, error) for model, (place, error) in places.items()}
        front = [places[model] for model in front_of(found, cost)]
        panel.step(*zip(*front, strict=True), where="post", color="black", linewidth=0.8)
        for model, place in places.items():
            style = dict(styles[model]) | {"linestyle": "none", "markersize": 7}
            panel.plot(*place, label=model.replace("_", " "), **style)
        panel.set(xlabel=label, xscale="log")
        panel.grid(alpha=0.3, which="both")
        if cost == "mebibytes" and len(positive) < len(places):
            panel.axvline(left * 3**0.5, color="grey", linestyle=":", linewidth=0.8)
            panel.annotate("none", (left, 0.01), xycoords=("data", "axes fraction"), ha="center", fontsize="small")
    panels[0].set(ylabel="NMSE [dB]")
    legend_below(figure, panels)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
