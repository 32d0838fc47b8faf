"""Figures of a whole twin, ready for JSON."""

import numpy as np
import xarray as xr

from wavefoundry.twin.options import RayTracedTwin
from wavefoundry.twin.traffic import Trajectories

DIGITS = 6  # significant ones
ENOUGH = 0.9  # share of users with a path


def summarise(paths: xr.Dataset, trajectories: Trajectories, reached: np.ndarray, line_of_sight: np.ndarray) -> dict:
    """Shares, paths, delays and gains of the samples; a window counts once for every base station.

    Args:
        paths: samples of the reached windows.
        trajectories: motion of all users.
        reached: (station, user, window) bool, at least one path.
        line_of_sight: (station, user, window) bool.
    """
    power = _path_power(paths)
    delay = np.where(paths["valid"].values, paths["delay"].values.astype(float), 0.0)
    # Of each sample, all keys together.
    mean = _weighted_mean(delay, power)
    spread = np.sqrt(_weighted_mean((delay - mean[:, None, None]) ** 2, power))
    gain = 10 * np.log10(power.sum(2).mean(1))
    by_station = {f"share_reached_{index}": rounded(share) for index, share in enumerate(reached.mean((1, 2)))}
    return {
        "users": len(trajectories.speed),
        "users_reached": int(reached.any((0, 2)).sum()),
        "share_users_reached": rounded(reached.any((0, 2)).mean()),
        "base_stations": len(reached),
        "windows": reached.size,
        "windows_reached": int(reached.sum()),
        "share_reached": rounded(reached.mean()),
        **(by_station if len(reached) > 1 else {}),
        "share_line_of_sight": rounded(line_of_sight[reached].mean()),
        "paths_mean": rounded(paths["valid"].values.sum(2).mean()),
        "delay_spread_median_s": rounded(np.median(spread)),
        "delay_spread_p90_s": rounded(np.quantile(spread, 0.9)),
        "channel_gain_median_db": rounded(np.median(gain)),
        "speed_mean_m_s": rounded(trajectories.speed.mean()),
    }


def why_not_reached(twin: RayTracedTwin, trajectories: Trajectories, reached: np.ndarray) -> dict:
    """`why_not_reached` with a sentence, if fewer than `ENOUGH` of the users have a path; else empty.

    Args:
        twin: base stations and tracing options.
        trajectories: motion of all users.
        reached: (station, user, window) bool.
    """
    users = ~reached.any((0, 2))
    if users.mean() <= 1 - ENOUGH:
        return {}
    stations = np.array([station.position for station in twin.base_stations])
    distance = np.linalg.norm(trajectories.position[:, 0, 0] - stations[:, None], axis=-1).min(0)
    tracing = twin.tracing
    ways = "reflections and diffraction" if tracing.diffraction else "reflections"
    sentence = (
        f"{100 * users.mean():.0f} % of the users are never in line of sight of a base station, nor reached by up to "
        f"{tracing.max_depth} {ways} of {tracing.samples_per_source} rays; they start at a median distance of "
        f"{np.median(distance[users]):.0f} m from the nearest base station"
    )
    if not users.all():
        sentence += f", the others at {np.median(distance[~users]):.0f} m"
    return {"why_not_reached": sentence}


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _path_power(paths: xr.Dataset) -> np.ndarray:
    """(sample, key, path), the mean over the antennas of an element and slots."""
    if "amplitude" in paths:
        return np.mean(np.abs(paths["amplitude"].values.astype(complex)) ** 2, axis=3)
    coefficient = paths["coefficient"].values
    parts = (np.mean(np.square(part), axis=(2, 3), dtype=float) for part in (coefficient.real, coefficient.imag))
    return sum(parts)[:, None]


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over keys and paths (sample, key, path) -> (sample,)."""
    return (values * weights).sum((1, 2)) / weights.sum((1, 2))
