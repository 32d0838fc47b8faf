"""Animation of the propagation paths of one user on its way."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from wavefoundry.errors import InputError

SECONDS_PER_FRAME = 0.7
RANGE_DB = 50.0  # shown below the strongest path
WAY, USER = "#8a8a8a", "#D55E00"


def animate_paths(paths: xr.Dataset, trajectory: int, title: str, path: Path) -> None:
    """Write a GIF with one frame for each window in which the user is reached; the same paths give the same bytes.

    Each frame shows the user on its way, the paths at the first key that has any by delay and gain, and their azimuth
    of departure in the frame of the base station; colours are Doppler shifts. Of several base stations it is the one
    that reaches the user most often.

    Args:
        paths: ray-traced or imported paths (docs/data-contract.md), of any number of users.
        trajectory: index of the user.
        title: headline.
        path: file to write, ending in .gif; its folder is created.

    Raises:
        InputError: no path reaches the user.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    windows = _windows(paths, trajectory)
    top = 5 * np.ceil(max(window.gain.max() for window in windows) / 5)
    fastest = max(1.0, *(np.abs(window.doppler).max() for window in windows))
    latest = max(window.delay.max() for window in windows)
    figure = Figure(figsize=(12, 4.2), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1.4, 1.1))
    above, response = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    rose = figure.add_subplot(grid[2], projection="polar")
    station = np.reshape(paths.attrs["base_station_positions"], (-1, 3))[windows[0].station]
    way = np.stack([window.position for window in windows])
    frames = []
    for index, window in enumerate(windows):
        for axes in (above, response, rose):
            axes.clear()
        _draw_way(above, way, index, station)
        shades = _draw_paths(response, window, top, fastest)
        response.set(xlim=(0, 1.05 * latest * 1e6), ylim=(top - RANGE_DB, top), xlabel="delay [µs]", ylabel="gain [dB]")
        response.set_title(f"{len(window.delay)} paths, window {window.number}", fontsize=10)
        response.grid(alpha=0.3)
        _draw_departures(rose, window, top, shades)
        if index == 0:
            figure.colorbar(shades, ax=rose, label="Doppler shift [Hz]", shrink=0.8, pad=0.12)
            figure.suptitle(title)
            figure.draw_without_rendering()
            # Laid out once: panels stay where they are.
            figure.set_layout_engine("none")
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    path.parent.mkdir(parents=True, exist_ok=True)
    duration = int(1000 * SECONDS_PER_FRAME)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration, loop=0)


@dataclass(frozen=True)
class _Window:
    """Paths of one window: (path,) gain [dB], delay [s], doppler [Hz], azimuth [rad]; position of the user [m]."""

    number: int
    station: int
    position: np.ndarray
    gain: np.ndarray
    delay: np.ndarray
    doppler: np.ndarray
    azimuth: np.ndarray


def _windows(paths: xr.Dataset, trajectory: int) -> list[_Window]:
    samples = np.flatnonzero(paths["trajectory"].values == trajectory)
    if len(samples) == 0:
        raise InputError(f"user {trajectory}: no path reaches it, there is nothing to show")
    stations = paths["base_station"].values[samples]
    samples = samples[stations == np.bincount(stations).argmax()]
    chosen = paths.isel(sample=samples).sortby("window")
    windows = []
    for one in range(len(samples)):
        sample = chosen.isel(sample=one)
        key = sample["valid"].values.any(1).argmax()
        valid = sample["valid"].values[key]
        power = (np.abs(sample["amplitude"].values[key].astype(complex)) ** 2).sum(-1)[valid]
        delay, doppler, azimuth = (sample[name].values[key][valid] for name in ("delay", "doppler", "azimuth"))
        number, station = int(sample["window"]), int(sample["base_station"])
        position = sample["position"].values[0]
        windows.append(_Window(number, station, position, 10 * np.log10(power), delay, doppler, azimuth))
    return windows


def _draw_way(axes, way: np.ndarray, now: int, station: np.ndarray) -> None:
    axes.plot(way[:, 0], way[:, 1], color=WAY, marker=".", linewidth=1, label="way")
    axes.scatter(*station[:2], s=150, marker="*", color="black", zorder=3, label="base station")
    axes.scatter(*way[now, :2], s=45, color=USER, zorder=4, label="user")
    axes.set(aspect="equal", xlabel="x [m]", ylabel="y [m]")
    axes.set_adjustable("datalim")
    axes.margins(0.15)
    axes.set_title(f"{np.linalg.norm(way[now] - station):.0f} m from the base station", fontsize=10)
    axes.legend(loc="best", fontsize=8, frameon=False)


def _draw_paths(axes, window: _Window, top: float, fastest: float):
    """Stems over the delay; returns what the colour bar needs."""
    axes.vlines(window.delay * 1e6, top - RANGE_DB, window.gain, color="#bbbbbb", linewidth=1, zorder=1)
    return axes.scatter(
        window.delay * 1e6, window.gain, c=window.doppler, cmap="coolwarm", vmin=-fastest, vmax=fastest, s=36,
        edgecolors="#444444", linewidths=0.6, zorder=2,
    )  # fmt: skip


def _draw_departures(axes, window: _Window, top: float, shades) -> None:
    # A radius below the range would come out on the other side.
    shown = window.gain > top - RANGE_DB
    axes.scatter(
        window.azimuth[shown], window.gain[shown], c=window.doppler[shown], cmap=shades.get_cmap(), norm=shades.norm,
        s=36, edgecolors="#444444", linewidths=0.6,
    )  # fmt: skip
    axes.set(rlim=(top - RANGE_DB, top), rlabel_position=250)
    axes.set_rticks([top - 40, top - 20, top])
    axes.set_title("azimuth of departure, gain [dB]", fontsize=10)
