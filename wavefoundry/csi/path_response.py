"""From path parameters to CSI: one batched matrix product of time, array and frequency factors.

Ray-traced paths p of amplitude a (with carrier phase), Doppler shift nu, departure direction u and delay tau:
    H[t, n, k] = sum_p a_p exp(j 2 pi nu_p t) exp(j 2 pi r_n . u_p) exp(-j 2 pi f_k tau_p)
with the position r_n of antenna n in wavelengths (a plane wave across the array) and the subcarrier offset f_k.
Clusters of TR 38.901 bring a coefficient for each antenna and time, which stands for the first three factors.
"""

import numpy as np
import torch
import xarray as xr

from wavefoundry.config import OFDM


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
    offsets = torch.from_numpy(subcarrier_offsets(ofdm))
    respond = _ray_response if "amplitude" in paths else _cluster_response
    for first in range(0, shape[0], ofdm.links_per_call):
        links = slice(first, first + ofdm.links_per_call)
        csi[links] = respond(paths.isel(sample=links), offsets, ofdm.timing_advance).numpy()
    return csi


def path_response(
    amplitude: torch.Tensor,
    doppler: torch.Tensor,
    direction: torch.Tensor,
    delay: torch.Tensor,
    times: torch.Tensor,
    elements: torch.Tensor,
    offsets: torch.Tensor,
) -> torch.Tensor:
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
    # (link, 1 or time or antenna, path); phases in float64: delays times frequencies are thousands of turns.
    time_factor = _rotation(doppler[:, None] * times[:, None])
    array_factor = _rotation((direction @ elements.T).transpose(1, 2))
    left = amplitude[:, None, None].to(torch.complex64) * time_factor[:, :, None] * array_factor[:, None]
    return _sum_paths(left, delay, offsets)


def cluster_response(coefficient: torch.Tensor, delay: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """CSI of clusters.

    Args:
        coefficient: complex (link, path, antenna, time).
        delay: (link, path) [s].
        offsets: (subcarrier,) [Hz].

    Returns:
        complex64 (link, time, antenna, subcarrier).
    """
    return _sum_paths(coefficient.to(torch.complex64).permute(0, 3, 2, 1), delay, offsets)


def _sum_paths(left: torch.Tensor, delay: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(link, time, antenna, path) times the frequency factor (link, path, subcarrier)."""
    frequency_factor = _rotation(-delay[:, :, None] * offsets)
    return (left.flatten(1, 2) @ frequency_factor).unflatten(1, left.shape[1:3])


def _rotation(turns: torch.Tensor) -> torch.Tensor:
    """exp(j 2 pi turns), complex64 from float64 turns."""
    angle = 2 * torch.pi * torch.remainder(turns.double(), 1.0)
    return torch.complex(angle.cos(), angle.sin()).to(torch.complex64)


def _ray_response(paths: xr.Dataset, offsets: torch.Tensor, timing_advance: float) -> torch.Tensor:
    zenith, azimuth = _read(paths, "zenith").double(), _read(paths, "azimuth").double()
    direction = torch.stack([zenith.sin() * azimuth.cos(), zenith.sin() * azimuth.sin(), zenith.cos()], dim=-1)
    return path_response(
        _read(paths, "amplitude"),
        _read(paths, "doppler").double(),
        direction,
        _synchronised(paths, timing_advance),
        _read(paths, "time"),
        _read(paths, "element_position"),
        offsets,
    )


def _cluster_response(paths: xr.Dataset, offsets: torch.Tensor, timing_advance: float) -> torch.Tensor:
    return cluster_response(_read(paths, "coefficient"), _synchronised(paths, timing_advance), offsets)


def _synchronised(paths: xr.Dataset, timing_advance: float) -> torch.Tensor:
    """Delays (sample, path) [s] after the shift that puts the first path at `timing_advance`."""
    delay, valid = _read(paths, "delay").double(), _read(paths, "valid")
    first = delay.masked_fill(~valid, torch.inf).amin(dim=1, keepdim=True)
    return (delay - first + timing_advance).masked_fill(~valid, 0.0)


def _read(paths: xr.Dataset, name: str) -> torch.Tensor:
    # A copy: what xarray hands out may be read-only, which torch does not support.
    return torch.tensor(paths[name].values)
