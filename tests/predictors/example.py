"""Channels whose continuation is known, and options of every method."""

import math

import numpy as np

OPTIONS = {
    "sample_and_hold": {},
    "reciprocity": {},
    "autoregression": {"order": 3},
    "pooled_autoregression": {"time_order": 6, "frequency_order": 5},
    "kalman": {"order": 3, "snr_db": 15.0, "compensation": 0.5},
    "prony": {"order": 2, "regularisation": 0.01},
}


def paths(steps: int, antennas: int, subcarriers: int, parameters) -> np.ndarray:
    """complex128 (1, time, antenna, subcarrier) of paths of unit amplitude.

    Args:
        parameters: (Doppler, angle, delay) of each, in cycles per slot, per antenna and per subcarrier.
    """
    time, antenna, subcarrier = np.meshgrid(*map(np.arange, (steps, antennas, subcarriers)), indexing="ij")
    phases = (doppler * time + angle * antenna - delay * subcarrier for doppler, angle, delay in parameters)
    return sum(np.exp(2j * math.pi * phase) for phase in phases)[None]


def on_grid_paths(steps=16, antennas=8, subcarriers=8, seed=0) -> np.ndarray:
    """Paths on distinct angle-delay bins, each with a Doppler of its own: every tap is one exponential."""
    dopplers = 0.2 * (np.random.default_rng(seed).random(3) - 0.5)
    angles, delays = np.array([0, 3, 6]) / antennas, np.array([0, 2, 5]) / subcarriers
    return paths(steps, antennas, subcarriers, zip(dopplers, angles, delays, strict=True))


def nmse(predicted: np.ndarray, target: np.ndarray) -> float:
    """|h_hat - h|^2 / |h|^2 over everything."""
    return float((np.abs(predicted - target) ** 2).sum() / (np.abs(target) ** 2).sum())
