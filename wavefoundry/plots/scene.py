"""Picture of a scenario from above: buildings, lanes, base stations, and where users have how strong a channel."""

from pathlib import Path

import numpy as np
import xarray as xr

from wavefoundry.twin.build import Built
from wavefoundry.twin.street_map import StreetMap
from wavefoundry.twin.streets import find_streets
from wavefoundry.twin.traffic import Trajectories

GROUND, ROOFS, LANE, WAY, UNREACHED = "#f8f6f1", ("#d9d5cc", "#8f8a80"), "#b9c7d6", "#55555588", "#a03030"
WIDTH = 8.0  # of the picture [inch]
MARGIN = 8.0  # around the users and the base stations [m]
SECONDS_AHEAD = 2.0
# Ground whose heights differ by more gets contour lines [m].
FLAT = 3.0
COURTYARD = 0.5  # shut-in surfaces up to this high are ground [m]


def draw_scene(built: Built, title: str, path: Path) -> None:
    """Write the picture as PNG; the same twin gives the same bytes.

    Args:
        built: a twin, ray-traced (map and trajectories) or statistical (users around the base station).
        title: short headline.
        path: file to write; its folder is created.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    stations = np.reshape(built.paths.attrs["base_station_positions"], (-1, 3))
    low, high = _extent(built, stations)
    # Beside the map: colour bar and labels; above and below: headline and legend.
    height = (WIDTH - 1.7) * (high[1] - low[1]) / (high[0] - low[0]) + 1.9
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(WIDTH, min(height, 1.2 * WIDTH)), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if built.street_map is None:
        _draw_drop(axes, built)
    else:
        _draw_map(axes, built.street_map)
        _draw_trajectories(axes, built.trajectories, built.street_map)
    users = _draw_coverage(axes, built)
    figure.colorbar(users, ax=axes, label="channel gain in dB", aspect=30, pad=0.02)
    _draw_stations(axes, stations)
    axes.set(aspect="equal", xlabel="x in m", ylabel="y in m", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold", pad=22)
    subtitle = axes.text(0, 1.012, _subtitle(built), transform=axes.transAxes, fontsize=10, color="#444444")
    # Wider than a narrow map; the layout would shrink the map for it.
    subtitle.set_in_layout(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9, handletextpad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the name of the software: it carries a version and would tie the bytes to it.
    figure.savefig(path, dpi=120, metadata={"Software": None})


def best_gain(paths: xr.Dataset, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Channel gain of each window to its strongest base station, and which one that is.

    Args:
        paths: a paths store, ray-traced or statistical.
        shape: numbers of (stations, users, windows).

    Returns:
        gain (user, window) [dB] of one antenna, the mean over polarisations and time, NaN without a path; and station
        (user, window) int, 0 without a path.
    """
    if "amplitude" in paths:
        power = (np.abs(paths["amplitude"].values.astype(complex)) ** 2).mean(3).sum(2).mean(1)
    else:
        power = (np.abs(paths["coefficient"].values.astype(complex)) ** 2).sum(1).mean(axis=(1, 2))
    gain = np.full(shape, -np.inf)
    window = paths["window"].values if "window" in paths else 0
    gain[paths["base_station"].values, paths["trajectory"].values, window] = 10 * np.log10(power)
    best = gain.max(0)
    return np.where(np.isinf(best), np.nan, best), gain.argmax(0)


def _extent(built: Built, stations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner of the picture [m]."""
    start, velocity = built.trajectories.position[:, :, 0, :2], built.trajectories.velocity[..., :2]
    ahead = SECONDS_AHEAD if built.street_map is None else 0.0
    points = [start.reshape(-1, 2), (start + ahead * velocity).reshape(-1, 2), stations[:, :2]]
    points = np.concatenate(points)
    return points.min(0) - MARGIN, points.max(0) + MARGIN


def _subtitle(built: Built) -> str:
    reached, sight = built.reached.any(0), (built.reached & built.line_of_sight).any(0)
    users, windows = reached.shape
    return (
        f"{users} users, {users * windows} windows: {100 * reached.mean():.0f} % reached, "
        f"{100 * sight[reached].mean():.0f} % of those in line of sight"
    )


def _draw_map(axes, street_map: StreetMap) -> None:
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    low = street_map.origin - street_map.cell_size / 2
    high = low + street_map.cell_size * np.array(street_map.open.shape)
    frame = {"origin": "lower", "extent": (low[0], high[0], low[1], high[1]), "interpolation": "nearest"}
    rise = street_map.surface - street_map.ground
    # Of courtyards no more is known than that they are as high as the streets.
    ground = np.where(street_map.open | (rise < COURTYARD), 1.0, np.nan)
    axes.imshow(ground.T, cmap=ListedColormap([GROUND]), **frame)
    axes.imshow(
        np.where(np.isnan(ground), rise, np.nan).T,
        cmap=LinearSegmentedColormap.from_list("roofs", ROOFS),
        vmin=0,
        vmax=40,
        **frame,
    )
    axes.fill([], [], color=ROOFS[0], label="building")
    heights = np.where(street_map.open, street_map.ground, np.nan)
    if np.nanmax(heights) - np.nanmin(heights) > FLAT:
        x, y = (street_map.origin[axis] + street_map.cell_size * np.arange(heights.shape[axis]) for axis in (0, 1))
        levels = np.arange(np.floor(np.nanmin(heights) / 5) * 5, np.nanmax(heights) + 5, 5)
        lines = axes.contour(x, y, street_map.ground.T, levels=levels, colors="#9c7a4a", linewidths=0.4, zorder=1)
        axes.clabel(lines, levels[::2], fontsize=7, fmt="%g m")
    streets = find_streets(street_map)
    lanes = [*streets.lanes, *(turn.way for turns in streets.turns for turn in turns)]
    for index, lane in enumerate(lanes):
        axes.plot(*lane.T, color=LANE, linewidth=1.1, zorder=1.5, label=None if index else "lane")


def _draw_trajectories(axes, trajectories: Trajectories, street_map: StreetMap) -> None:
    from matplotlib.collections import LineCollection

    start = trajectories.position[:, :, 0, :2]
    pieces = np.stack([start[:, :-1], start[:, 1:]], axis=2).reshape(-1, 2, 2)
    # Between windows the ways are not known here: where a straight line would cut through a house, none is drawn.
    between = pieces[:, :1] + np.linspace(0, 1, 20)[:, None] * (pieces[:, 1:] - pieces[:, :1])
    clear = (street_map.room_at(between) > 0).all(1)
    axes.add_collection(LineCollection(list(pieces[clear]), colors=WAY, linewidths=0.9, zorder=2))
    axes.plot([], [], color=WAY, label="trajectory")


def _draw_drop(axes, built: Built) -> None:
    from matplotlib.collections import LineCollection

    start = built.trajectories.position[:, 0, 0, :2]
    ahead = start + SECONDS_AHEAD * built.trajectories.velocity[:, 0, :2]
    axes.set_facecolor(GROUND)
    axes.add_collection(LineCollection(list(np.stack([start, ahead], axis=1)), colors=WAY, linewidths=0.9))
    axes.plot([], [], color=WAY, label=f"way of the next {SECONDS_AHEAD:g} s")


def _draw_coverage(axes, built: Built):
    """Every window in the colour of its gain and the shape of its state; returns what the colour bar needs."""
    start = built.trajectories.position[:, :, 0, :2]
    gain, station = best_gain(built.paths, built.reached.shape)
    sight = np.take_along_axis(built.line_of_sight, station[None], axis=0)[0]
    reached = ~np.isnan(gain)
    # A few fades must not use up the colours.
    low, high = np.quantile(gain[reached], [0.02, 0.98])
    style = {"cmap": "viridis", "vmin": low, "vmax": high, "zorder": 3}
    marks = axes.scatter([], [], c=[], **style)
    for label, windows, marker, size in (
        ("line of sight", reached & sight, "o", 20),
        ("no line of sight", reached & ~sight, "^", 20),
    ):
        if windows.any():
            marks = axes.scatter(
                *start[windows].T, c=gain[windows], marker=marker, s=size, linewidths=0, label=label, **style
            )
    if not reached.all():
        axes.scatter(*start[~reached].T, marker="x", s=16, color=UNREACHED, linewidths=0.9, zorder=3, label="no path")
    return marks


def _draw_stations(axes, stations: np.ndarray) -> None:
    label = "base station" if len(stations) == 1 else "base stations"
    axes.scatter(*stations[:, :2].T, s=210, marker="*", color="black", edgecolor="white", zorder=5, label=label)
    if len(stations) > 1:
        for index, (x, y, _) in enumerate(stations):
            place = {"xytext": (8, 6), "textcoords": "offset points", "zorder": 5}
            axes.annotate(str(index), (x, y), fontsize=11, fontweight="bold", **place)
