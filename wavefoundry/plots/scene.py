"""Picture of a scenario from above: ground, buildings, base station and the users."""

from pathlib import Path

import numpy as np

from wavefoundry.twin.build import Built
from wavefoundry.twin.street_map import StreetMap

BUILDING, GROUND = "#c9c5bd", "#f8f6f1"
# Colours that stay apart for colour-blind readers (Okabe and Ito).
LINE_OF_SIGHT, NO_LINE_OF_SIGHT, UNREACHED, WAY = "#0072B2", "#D55E00", "#8a8a8a", "#55555588"
WIDTH = 8.0  # of the picture [inch]
MARGIN = 8.0  # around the users and the base station [m]
SECONDS_AHEAD = 2.0


def draw_scene(built: Built, title: str, path: Path) -> None:
    """Write the picture as PNG; the same twin gives the same bytes.

    Args:
        built: a twin, ray-traced (map and trajectories) or statistical (users around the base station).
        title: short headline.
        path: file to write; its folder is created.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, high = _extent(built)
    height = WIDTH * (high[1] - low[1]) / (high[0] - low[0]) + 1.2
    figure = Figure(figsize=(WIDTH, min(height, 1.1 * WIDTH)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if built.street_map is None:
        _draw_drop(figure, axes, built)
    else:
        _draw_map(axes, built)
        _draw_trajectories(axes, built)
    x, y, _ = built.paths.attrs["base_station_position"]
    axes.scatter(x, y, s=190, marker="*", color="black", edgecolor="white", zorder=5, label="base station")
    axes.set(aspect="equal", xlabel="x in m", ylabel="y in m", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold", pad=22)
    axes.text(0, 1.015, _subtitle(built.summary), transform=axes.transAxes, fontsize=10, color="#444444")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9, handletextpad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the name of the software: it carries a version and would tie the bytes to it.
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _extent(built: Built) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner of the picture [m]."""
    station = np.array(built.paths.attrs["base_station_position"][:2])
    if built.street_map is None:
        start, velocity = built.tracks.position[:, 0, 0, :2], built.tracks.velocity[:, 0, :2]
        points = np.concatenate([start, start + SECONDS_AHEAD * velocity, [station]])
        return points.min(0) - MARGIN, points.max(0) + MARGIN
    points = np.concatenate([built.tracks.position[..., :2].reshape(-1, 2), [station]])
    low, high = _map_corners(built.street_map)
    return np.maximum(points.min(0) - MARGIN, low), np.minimum(points.max(0) + MARGIN, high)


def _map_corners(street_map: StreetMap) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner [m] of the part of the raster that has any open ground."""
    cells = np.argwhere(street_map.open)
    edge = street_map.origin - street_map.cell_size / 2
    return edge + street_map.cell_size * cells.min(0), edge + street_map.cell_size * (cells.max(0) + 1)


def _subtitle(summary: dict) -> str:
    reached, sight = 100 * summary["share_reached"], 100 * summary["share_line_of_sight"]
    share = f"{reached:.0f} % reached, {sight:.0f} % of those in line of sight"
    return f"{summary['users']} users, {summary['windows']} windows: {share}"


def _draw_map(axes, built: Built) -> None:
    from matplotlib.colors import ListedColormap

    street_map = built.street_map
    low = street_map.origin - street_map.cell_size / 2
    high = low + street_map.cell_size * np.array(street_map.open.shape)
    colours = ListedColormap([BUILDING, GROUND])
    extent = (low[0], high[0], low[1], high[1])
    axes.imshow(street_map.open.T, origin="lower", extent=extent, cmap=colours, vmin=0, vmax=1)
    axes.fill([], [], color=BUILDING, label="building")


def _draw_trajectories(axes, built: Built) -> None:
    start = built.tracks.position[:, :, 0, :2]
    sight = built.line_of_sight
    for way in start:
        axes.plot(*way.T, color=WAY, linewidth=0.9, zorder=2)
    for label, windows, colour in (
        ("line of sight", built.reached & sight, LINE_OF_SIGHT),
        ("no line of sight", built.reached & ~sight, NO_LINE_OF_SIGHT),
        ("no path", ~built.reached, UNREACHED),
    ):
        if windows.any():
            axes.scatter(*start[windows].T, s=13, color=colour, linewidths=0, zorder=3, label=label)


def _draw_drop(figure, axes, built: Built) -> None:
    from matplotlib.collections import LineCollection

    start = built.tracks.position[:, 0, 0, :2]
    ahead = start + SECONDS_AHEAD * built.tracks.velocity[:, 0, :2]
    coefficient = built.paths["coefficient"].values
    gain = 10 * np.log10((np.abs(coefficient.astype(complex)) ** 2).sum(1).mean(axis=(1, 2)))
    axes.set_facecolor(GROUND)
    axes.add_collection(LineCollection(np.stack([start, ahead], axis=1), colors=WAY, linewidths=0.9))
    axes.plot([], [], color=WAY, label=f"way of the next {SECONDS_AHEAD:g} s")
    users = axes.scatter(*start.T, s=18, c=gain, cmap="viridis", linewidths=0, zorder=3, label="user")
    figure.colorbar(users, ax=axes, label="channel gain in dB", shrink=0.7)
