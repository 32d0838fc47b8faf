"""Figures of a whole twin, ready for JSON."""

import numpy as np
import xarray as xr

from wavefoundry.twin.traffic import Tracks

DIGITS = 6  # significant ones


def summarise(paths: xr.Dataset, tracks: Tracks, reached: np.ndarray, line_of_sight: np.ndarray) -> dict:
    """Shares, paths, delays and gains of the samples.

    Args:
        paths: samples of the reached windows.
        tracks: motion of all users.
        reached: (user, window) bool, at least one path.
        line_of_sight: (user, window) bool.
    """
    power = _path_power(paths)
    delay = paths["delay"].values.astype(float)
    mean = _weighted_mean(delay, power)
    spread = np.sqrt(_weighted_mean((delay - mean[:, None]) ** 2, power))
    gain = 10 * np.log10(power.sum(1))
    return {
        "users": len(tracks.speed),
        "users_reached": int(reached.any(1).sum()),
        "windows": reached.size,
        "windows_reached": int(reached.sum()),
        "share_reached": rounded(reached.mean()),
        "share_line_of_sight": rounded(line_of_sight[reached].mean()),
        "paths_mean": rounded(paths["valid"].values.sum(1).mean()),
        "delay_spread_median_s": rounded(np.median(spread)),
        "delay_spread_p90_s": rounded(np.quantile(spread, 0.9)),
        "channel_gain_median_db": rounded(np.median(gain)),
        "speed_mean_m_s": rounded(tracks.speed.mean()),
    }


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _path_power(paths: xr.Dataset) -> np.ndarray:
    """(sample, path), the mean over antennas and slots."""
    if "amplitude" in paths:
        return np.abs(paths["amplitude"].values.astype(complex)) ** 2
    return np.mean(np.abs(paths["coefficient"].values.astype(complex)) ** 2, axis=(2, 3))


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (values * weights).sum(1) / weights.sum(1)
