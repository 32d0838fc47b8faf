"""A scene from above with its coordinates, to read off where users and base stations can be."""

from pathlib import Path

import numpy as np

WIDTH = 10.0  # of the picture [inch]
DOTS = 150  # per inch
# What is higher than this share of the picture has one colour: two church towers must not use up all others.
HIGHEST = 0.99


def draw_plan(x: np.ndarray, y: np.ndarray, height: np.ndarray, title: str, path: Path) -> None:
    """Write the picture as PNG; the same scene gives the same bytes.

    Args:
        x, y: centres of the cells (n,) and (m,) [m], equally far apart.
        height: of the highest surface of each cell (n, m) [m], NaN where there is none.
        title: short headline.
        path: file to write; its folder exists.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    half = (x[1] - x[0]) / 2
    extent = (x[0] - half, x[-1] + half, y[0] - half, y[-1] + half)
    # Beside the map: colour bar and labels; above it: headline.
    tall = (WIDTH - 2) * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 1.5
    figure = Figure(figsize=(WIDTH, tall), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    highest = float(np.nanquantile(height, HIGHEST))
    shown = axes.imshow(height.T, cmap="YlGnBu", vmax=highest, origin="lower", extent=extent, interpolation="nearest")
    figure.colorbar(shown, ax=axes, label="height of the highest surface, z in m", shrink=0.6, extend="max")
    axes.grid(color="#4060a0", linewidth=0.4, alpha=0.6)
    axes.locator_params(nbins=16)
    axes.tick_params(axis="x", rotation=90)
    axes.set(aspect="equal", xlabel="x in m", ylabel="y in m")
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold")
    # Without the name of the software: it carries a version and would tie the bytes to it.
    figure.savefig(path, dpi=DOTS, metadata={"Software": None})
