"""What backbones cost against the number of their tokens."""

from collections.abc import Mapping
from pathlib import Path

from wavefoundry.plots.model_styles import Style, legend_below


def draw_against_tokens(
    curves: dict[str, list[tuple[int, float]]], label: str, styles: Mapping[str, Style], path: Path
) -> None:
    """One line per backbone, both axes logarithmic, with a dotted line as steep as a cost that grows linearly.

    Args:
        curves: (tokens, cost) by backbone; a backbone without points is left out.
        label: what the cost is, with its unit.
        styles: of the models.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    panel = figure.subplots()
    curves = {name: points for name, points in curves.items() if points}
    for name, points in curves.items():
        panel.plot(*zip(*points, strict=True), label=name.replace("_", " "), **styles[name])
    everything = [point for points in curves.values() for point in points]
    least, most = min(tokens for tokens, _ in everything), max(tokens for tokens, _ in everything)
    start = min(cost for _, cost in everything)
    panel.plot([least, most], [start, start * most / least], color="black", linestyle=":", label="linear growth")
    panel.set(xlabel="tokens", ylabel=label, xscale="log", yscale="log")
    panel.grid(alpha=0.3, which="both")
    legend_below(figure, [panel])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
