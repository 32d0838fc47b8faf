"""From path parameters to CSI: one batched matrix product of time, array and frequency factors.

Ray-traced paths p of amplitude a (with carrier phase), Doppler shift nu, departure direction u and delay tau:
    H[t, n, k] = sum_p a_p exp(j 2 pi nu_p t) exp(j 2 pi r_n . u_p) exp(-j 2 pi f_k tau_p)
with the position r_n of antenna n in wavelengths (a plane wave across the array) and the subcarrier offset f_k.
Clusters of TR 38.901 bring a coefficient for each antenna and time, which stands for the first three factors.
"""

import numpy as np
import xarray as xr

from wavefoundry.csi.config import OFDM


def subcarrier_offsets(ofdm: OFDM) -> np.ndarray:
    """Offsets (subcarrier,) [Hz] from the carrier; subcarrier number K // 2 lies on it."""
    return (np.arange(ofdm.subcarriers) - ofdm.subcarriers // 2) * ofdm.subcarrier_spacing


def frequency_response(paths: xr.Dataset, ofdm: OFDM) -> np.ndarray:
    """CSI of all samples of a paths store.

    The delays of a sample are shifted by one constant, the same for all its slots, such that its first path arrives at
    `timing_advance`: the receiver is synchronised once, at the start of the sample.

    Args:
        paths: Dataset of kind "paths" (docs/data-contract.md), ray-traced or statistical.
        ofdm: subcarriers, timing advance, and how many samples are computed together.

    Returns:
        complex64 (sample, time, antenna, subcarrier).
    """
    shape = (paths.sizes["sample"], paths.sizes["time"], paths.sizes["antenna"], ofdm.subcarriers)
    csi = np.empty(shape, np.complex64)
    offsets = subcarrier_offsets(ofdm)
    for first in range(0, shape[0], ofdm.links_per_call):
        links = slice(first, first + ofdm.links_per_call)
        csi[links] = _respond(paths.isel(sample=links), offsets, ofdm.timing_advance)
    return csi


def path_response(
    amplitude: np.ndarray,
    doppler: np.ndarray,
    direction: np.ndarray,
    delay: np.ndarray,
    times: np.ndarray,
    elements: np.ndarray,
    offsets: np.ndarray,
) -> np.ndarray:
    """CSI of ray-traced paths. An entry that is no path has amplitude 0.

    Args:
        amplitude: complex (link, path).
        doppler: (link, path) [Hz].
        direction: (link, path, 3) unit vectors of departure, in the frame of `elements`.
        delay: (link, path) [s].
        times: (time,) [s].
        elements: (antenna, 3) [wavelengths].
        offsets: (subcarrier,) [Hz].

    Returns:
        complex64 (link, time, antenna, subcarrier).
    """
    time_factor = _rotation(doppler[:, None].astype(float) * times[:, None])
    array_factor = _rotation((direction @ elements.T).swapaxes(1, 2))
    left = (amplitude[:, None] * time_factor)[:, :, None] * array_factor[:, None]
    return _sum_paths(left, delay, offsets)


def cluster_response(coefficient: np.ndarray, delay: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """CSI of clusters.

    Args:
        coefficient: complex (link, path, antenna, time).
        delay: (link, path) [s].
        offsets: (subcarrier,) [Hz].

    Returns:
        complex64 (link, time, antenna, subcarrier).
    """
    return _sum_paths(coefficient.transpose(0, 3, 2, 1), delay, offsets)


def _sum_paths(left: np.ndarray, delay: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(link, time, antenna, path) times the frequency factor (link, path, subcarrier)."""
    links, times, antennas, paths = left.shape
    frequency_factor = _rotation(-delay[:, :, None].astype(float) * offsets)
    left = left.astype(np.complex64).reshape(links, times * antennas, paths)
    # Not `@`: the rounding of a BLAS depends on its number of threads.
    product = np.einsum("lrp,lpk->lrk", left, frequency_factor)
    return product.reshape(links, times, antennas, len(offsets))


def _rotation(turns: np.ndarray) -> np.ndarray:
    """exp(j 2 pi turns) as complex64. Turns are float64: a delay times a frequency can be many of them."""
    angle = 2 * np.pi * np.remainder(turns, 1.0)
    rotation = np.empty(angle.shape, np.complex64)
    rotation.real, rotation.imag = np.cos(angle), np.sin(angle)
    return rotation


def _respond(paths: xr.Dataset, offsets: np.ndarray, timing_advance: float) -> np.ndarray:
    delay = _synchronised(paths["delay"].values, paths["valid"].values, timing_advance)
    if "coefficient" in paths:
        return cluster_response(paths["coefficient"].values, delay, offsets)
    zenith, azimuth = (paths[name].values.astype(float) for name in ("zenith", "azimuth"))
    direction = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)
    amplitude, doppler, times, elements = (
        paths[name].values for name in ("amplitude", "doppler", "time", "element_position")
    )
    return path_response(amplitude, doppler, direction, delay, times, elements, offsets)


def _synchronised(delay: np.ndarray, valid: np.ndarray, timing_advance: float) -> np.ndarray:
    """Delays (sample, path) [s] after the shift that puts the first path at `timing_advance`."""
    first = np.where(valid, delay.astype(float), np.inf).min(axis=1, keepdims=True)
    return np.where(valid, delay - first + timing_advance, 0.0)
