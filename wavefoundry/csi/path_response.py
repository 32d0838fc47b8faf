"""From path parameters to CSI: one batched matrix product of time, array and frequency factors.

Path p with gain a_p(t) (carrier phase and Doppler in it), direction of departure u_p and delay tau_p:
    H[t, n, k] = sum_p a_p(t) exp(j 2 pi r_n . u_p(t)) exp(-j 2 pi f_k tau_p(t))
with the position r_n of antenna n in wavelengths (a plane wave across the array) and the subcarrier offset f_k.
Clusters of TR 38.901 bring a coefficient for each antenna and time, which stands for the first two factors.
"""

from collections.abc import Iterator
from math import pi
from typing import Protocol

import numpy as np
import torch
import xarray as xr

from wavefoundry.csi.options import OFDM
from wavefoundry.csi.tracks import Evolution, Tracks, evolve

# Links that are computed together, so that what is between the factors and the product stays in the processor's cache.
BLOCK = 32


class Subcarriers(Protocol):
    """Equally spaced subcarriers."""

    @property
    def subcarriers(self) -> int: ...

    @property
    def subcarrier_spacing(self) -> float: ...


def subcarrier_offsets(ofdm: Subcarriers) -> np.ndarray:
    """Offsets (subcarrier,) [Hz] from the carrier; subcarrier number K // 2 lies on it."""
    return (np.arange(ofdm.subcarriers) - ofdm.subcarriers // 2) * ofdm.subcarrier_spacing


def chunks(samples: int, size: int) -> Iterator[slice]:
    """Runs of at most `size` samples."""
    for first in range(0, samples, size):
        yield slice(first, min(first + size, samples))


def frequency_response(paths: xr.Dataset, ofdm: OFDM, device: str = "cpu") -> torch.Tensor:
    """CSI of all samples of a paths data set; what it needs of memory besides does not grow with their number.

    The delays of a sample are shifted by one constant, the same for all its slots, such that its first path arrives at
    `timing_advance`: the receiver is synchronised once, at the start of the sample.

    Args:
        paths: Dataset of kind "paths" (docs/data-contract.md), ray-traced or statistical.
        ofdm: subcarriers and timing advance.
        device: where torch computes.

    Returns:
        complex64 (sample, time, antenna, subcarrier) on the CPU.
    """
    shape = (paths.sizes["sample"], paths.sizes["time"], paths.sizes["antenna"], ofdm.subcarriers)
    csi = torch.empty(shape, dtype=torch.complex64)
    offsets = torch.from_numpy(subcarrier_offsets(ofdm)).to(device)
    respond = _cluster_samples if "coefficient" in paths else _track_samples
    for links in chunks(shape[0], BLOCK):
        here = csi[links] if offsets.device == csi.device else None
        found = respond(paths.isel(sample=links), offsets, ofdm.timing_advance, here)
        if here is None:
            csi[links] = found.cpu()
    return csi


def path_response(
    evolution: Evolution, elements: torch.Tensor, offsets: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """CSI of tracks of paths. An entry that is no path has gain 0.

    Args:
        evolution: tracks at every slot.
        elements: float64 (element, 3) [wavelengths]: positions of one polarisation.
        offsets: float64 (subcarrier,) [Hz].
        out: complex64 (link, slot, antenna, subcarrier), where the result goes.

    Returns:
        complex64 (link, slot, antenna, subcarrier), antennas polarisation by polarisation.
    """
    links, slots, paths, polarisations = evolution.gain.shape
    # (link, slot or 1, 1, element, path); the products of a few wavelengths are exact enough in single precision.
    array_factor = _rotation((elements @ evolution.direction.transpose(-1, -2)).float())[:, :, None]
    left = evolution.gain.permute(0, 1, 3, 2)[:, :, :, None] * array_factor
    left = left.reshape(links, slots, polarisations * len(elements), paths)
    return _sum_paths(left, _frequency_factor(evolution.delay, offsets), out)


def cluster_response(
    coefficient: torch.Tensor, delay: torch.Tensor, offsets: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """CSI of clusters.

    Args:
        coefficient: complex64 (link, path, antenna, slot).
        delay: float64 (link, path) [s].
        offsets: float64 (subcarrier,) [Hz].
        out: complex64 (link, slot, antenna, subcarrier), where the result goes.

    Returns:
        complex64 (link, slot, antenna, subcarrier).
    """
    return _sum_paths(coefficient.permute(0, 3, 2, 1), _frequency_factor(delay[:, None], offsets), out)


def _frequency_factor(delay: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(link, slot or 1, path, subcarrier).

    Double precision at the first slot only: a delay times an offset can be many turns, its change is little.
    """
    factor = _rotation(-delay[:, :1, :, None] * offsets)
    if delay.shape[1] == 1:
        return factor
    return factor * _rotation((delay[:, :1] - delay).float()[..., None] * offsets.float())


def _sum_paths(left: torch.Tensor, frequency_factor: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    """(link, slot, antenna, path) times (link, slot or 1, path, subcarrier)."""
    links, slots, antennas, paths = left.shape
    if out is None:
        out = left.new_empty(links, slots, antennas, frequency_factor.shape[-1])
    # One product per link where the frequency factor holds for all slots, else one per link and slot.
    products = links * frequency_factor.shape[1]
    rows = left.reshape(products, -1, paths)
    torch.bmm(rows, frequency_factor.reshape(products, paths, -1), out=out.view(products, rows.shape[1], -1))
    return out


def _rotation(turns: torch.Tensor) -> torch.Tensor:
    """exp(j 2 pi turns) as complex64."""
    angle = (2 * pi * (turns - turns.round())).float()
    rotation = torch.empty(*angle.shape, 2, dtype=torch.float32, device=angle.device)
    torch.cos(angle, out=rotation[..., 0])
    torch.sin(angle, out=rotation[..., 1])
    return torch.view_as_complex(rotation)


def _track_samples(
    paths: xr.Dataset, offsets: torch.Tensor, timing_advance: float, out: torch.Tensor | None
) -> torch.Tensor:
    def on_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(offsets.device)

    zenith, azimuth = (paths[name].values.astype(float) for name in ("zenith", "azimuth"))
    direction = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)
    tracks = Tracks(
        amplitude=on_device(paths["amplitude"].values),
        delay=on_device(_synchronised(paths["delay"].values, paths["valid"].values, timing_advance)),
        doppler=on_device(paths["doppler"].values.astype(float)),
        direction=on_device(direction),
        valid=on_device(paths["valid"].values),
    )
    key_times, times = (on_device(paths[name].values.astype(float)) for name in ("key_time", "time"))
    evolution = evolve(tracks, key_times, times, paths.attrs["carrier_frequency"])
    positions = paths["element_position"].values[: paths.attrs["array_rows"] * paths.attrs["array_columns"]]
    return path_response(evolution, on_device(positions), offsets, out)


def _cluster_samples(
    paths: xr.Dataset, offsets: torch.Tensor, timing_advance: float, out: torch.Tensor | None
) -> torch.Tensor:
    delay = _synchronised(paths["delay"].values, paths["valid"].values, timing_advance)[:, 0]
    coefficient = torch.from_numpy(paths["coefficient"].values).to(offsets.device)
    return cluster_response(coefficient, torch.from_numpy(delay).to(offsets.device), offsets, out)


def _synchronised(delay: np.ndarray, valid: np.ndarray, timing_advance: float) -> np.ndarray:
    """Delays (sample, key, path) [s] after the shift that puts the first path of the first key that has one at
    `timing_advance`."""
    arrival = np.where(valid, delay.astype(float), np.inf).min(axis=2)
    first = np.take_along_axis(arrival, np.isfinite(arrival).argmax(axis=1)[:, None], axis=1)[..., None]
    return np.where(valid, delay - first + timing_advance, 0.0)
