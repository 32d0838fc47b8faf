"""Path continuation: which paths of consecutive key positions are one physical path, seen twice.

Source: model card of LWM-Temporal (arXiv:2603.10024), data: paths are traced at key positions and go on between them by
their rates.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from wavefoundry.csi.tracks import Tracks, evolve

# How far the delay may be from what both Doppler shifts predict [carrier periods]. The prediction errs by 1e-3 for a
# user at 30 m/s, 5 m from a wall, whose keys are 8 ms apart; paths of other walls are hundreds of periods away.
DELAY_TOLERANCE = 0.1
# Change of the direction of departure [rad].
DIRECTION_TOLERANCE = 0.1
# Change of the phase that the Doppler shifts do not explain [turns]: a path whose coefficient changes its sign, as a
# diffracted one does at the edge of a shadow, ends there, and another begins.
PHASE_TOLERANCE = 0.25


@dataclass(frozen=True)
class Paths:
    """Paths of links at key positions; entries that are not `valid` are 0.

    Attributes:
        amplitude: (link, key, path, polarisation) complex64, with the carrier phase exp(-j 2 pi f_c delay).
        delay: (link, key, path) float32 [s].
        doppler: (link, key, path) float32 [Hz].
        zenith, azimuth: (link, key, path) float32, departure in the frame of the base station [rad].
        kind: (link, key, path) int64, one number for each sequence of interactions, 0 for the direct path.
        valid: (link, key, path) bool.
    """

    amplitude: np.ndarray
    delay: np.ndarray
    doppler: np.ndarray
    zenith: np.ndarray
    azimuth: np.ndarray
    kind: np.ndarray
    valid: np.ndarray

    @property
    def power(self) -> np.ndarray:
        """(link, key, path), of all polarisations together."""
        return (np.abs(self.amplitude.astype(complex)) ** 2).sum(-1)


def continue_paths(
    found: Paths, key_times: np.ndarray, carrier_frequency: float, count: int
) -> tuple[Paths, np.ndarray]:
    """Tracks of paths: one path index is one physical path, valid on one run of keys.

    Paths of consecutive keys continue each other if their interactions are alike and delay, direction of departure and
    phase changed as both Doppler shifts say; one to one, closest first. A wall can be another triangle at the next key,
    so what was hit is not compared.

    Args:
        found: at every key, in any order.
        key_times: (key,) [s], rising.
        carrier_frequency: [Hz].
        count: strongest tracks kept per link, by their energy over the keys.

    Returns:
        Tracks by falling energy (equal ones by delay, then angle), padded with zeros to `count`, and the share of the
        energy of all paths that they carry (link,), 0 for a link without a path.
    """
    entry = np.full(found.valid.shape, -1)
    entry[found.valid] = np.arange(np.count_nonzero(found.valid))
    # Entries of one track share their root, the first of them.
    root = np.arange(entry.max(initial=-1) + 1)
    for key, duration in enumerate(np.diff(key_times)):
        link, before, after = _continued(found, key, duration, carrier_frequency)
        root[entry[link, key + 1, after]] = root[entry[link, key, before]]
    return _strongest(found, root, count)


def evolve_paths(paths: Paths, key_times: np.ndarray, times: np.ndarray, carrier_frequency: float) -> Paths:
    """Tracks at other times than those of their keys, by `wavefoundry.csi.tracks.evolve`.

    Args:
        paths: tracks at their keys.
        key_times: (key,) [s], two or more.
        times: (key,) [s], the first and the last key among them.
        carrier_frequency: [Hz].
    """
    everywhere = (slice(None),) * 3
    values = (paths.amplitude, paths.delay.astype(float), paths.doppler.astype(float))
    tracks = Tracks(*(torch.from_numpy(part) for part in (*values, _direction(paths, everywhere), paths.valid)))
    evolution = evolve(tracks, torch.from_numpy(key_times), torch.from_numpy(times), carrier_frequency)
    gain, delay, direction = (part.numpy() for part in (evolution.gain, evolution.delay, evolution.direction))
    valid = (np.abs(gain) > 0).any(-1)

    before = np.clip(np.searchsorted(key_times, times, side="right") - 1, 0, len(key_times) - 2)
    share = ((times - key_times[before]) / np.diff(key_times)[before])[:, None]
    # A path that is born or dies keeps its Doppler shift.
    weight = share * paths.valid[:, before + 1], (1 - share) * paths.valid[:, before]
    doppler = weight[0] * paths.doppler[:, before + 1] + weight[1] * paths.doppler[:, before]
    kind = np.maximum(paths.kind[:, before], paths.kind[:, before + 1])
    evolved = {
        "delay": delay.astype(np.float32),
        "doppler": (doppler / np.maximum(sum(weight), np.finfo(float).tiny)).astype(np.float32),
        "zenith": np.arctan2(np.hypot(direction[..., 0], direction[..., 1]), direction[..., 2]).astype(np.float32),
        "azimuth": np.arctan2(direction[..., 1], direction[..., 0]).astype(np.float32),
        "kind": kind,
    }
    masked = {name: np.where(valid, value, value.dtype.type(0)) for name, value in evolved.items()}
    return Paths(amplitude=np.where(valid[..., None], gain, np.complex64(0)), valid=valid, **masked)


def _continued(found: Paths, key: int, duration: float, carrier_frequency: float) -> tuple[np.ndarray, ...]:
    """Links and path indices at `key` and at the next one of paths that continue each other."""
    delay, doppler = (values[:, key : key + 2].astype(float) for values in (found.delay, found.doppler))
    # The delay falls by (doppler before + doppler after) / 2 * duration, in carrier periods: each path's share of that
    # is taken to its own side.
    half_way = carrier_frequency * delay + np.array([-0.5, 0.5])[:, None] * doppler * duration
    mismatch = half_way[:, 1, None, :] - half_way[:, 0, :, None]
    near = np.abs(mismatch) <= DELAY_TOLERANCE
    near &= found.kind[:, key, :, None] == found.kind[:, key + 1, None, :]
    near &= found.valid[:, key, :, None] & found.valid[:, key + 1, None, :]
    link, before, after = np.nonzero(near)
    first, second = (link, key, before), (link, key + 1, after)

    turned = np.linalg.norm(_direction(found, first) - _direction(found, second), axis=-1)
    turns = (found.doppler[first].astype(float) + found.doppler[second]) / 2 * duration
    change = (found.amplitude[second] * found.amplitude[first].conj()).sum(-1) * np.exp(-2j * np.pi * turns)
    unexplained = np.abs(np.angle(change)) / (2 * np.pi)
    passed = np.flatnonzero((turned <= DIRECTION_TOLERANCE) & (unexplained <= PHASE_TOLERANCE))

    link, before, after = (index[passed] for index in (link, before, after))
    cost = (mismatch[link, before, after] / DELAY_TOLERANCE) ** 2 + (turned[passed] / DIRECTION_TOLERANCE) ** 2
    width = found.valid.shape[-1]
    chosen = _one_to_one(link * width + before, link * width + after, cost)
    return link[chosen], before[chosen], after[chosen]


def _one_to_one(left: np.ndarray, right: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Indices of the pairs that are kept: the cheapest pair, then the cheapest whose ends are both free, and so on."""
    left_over = np.argsort(cost, kind="stable")
    chosen = []
    while len(left_over):
        # Pairs that come first for both of their ends cannot lose either of them.
        firsts = [np.unique(ends[left_over], return_index=True)[1] for ends in (left, right)]
        best = left_over[np.intersect1d(*firsts)]
        chosen.append(best)
        free = ~np.isin(left[left_over], left[best]) & ~np.isin(right[left_over], right[best])
        left_over = left_over[free]
    return np.concatenate(chosen) if chosen else left_over


def _strongest(found: Paths, root: np.ndarray, count: int) -> tuple[Paths, np.ndarray]:
    link, key, path = at = np.nonzero(found.valid)
    power = found.power[at]
    energy = np.bincount(root, weights=power, minlength=len(root))
    tracks = np.unique(root)
    order = (found.azimuth[at], found.zenith[at], found.delay[at], -energy, link)
    tracks = tracks[np.lexsort([values[tracks] for values in order])]
    of_link = link[tracks]
    rank = np.empty_like(root)
    rank[tracks] = np.arange(len(tracks)) - np.searchsorted(of_link, of_link)
    rank = rank[root]

    kept = rank < count
    source, target = (link[kept], key[kept], path[kept]), (link[kept], key[kept], rank[kept])

    def pick(values: np.ndarray) -> np.ndarray:
        picked = np.zeros((*values.shape[:2], count, *values.shape[3:]), values.dtype)
        picked[target] = values[source]
        return picked

    total, carried = (
        np.bincount(link[chosen], power[chosen], len(found.valid)) for chosen in (np.full(len(link), True), kept)
    )
    share = np.divide(carried, total, out=np.zeros(len(total)), where=total > 0)
    return Paths(**{field.name: pick(getattr(found, field.name)) for field in fields(Paths)}), share


def _direction(paths: Paths, at: tuple[np.ndarray | slice | int, ...]) -> np.ndarray:
    zenith, azimuth = paths.zenith[at].astype(float), paths.azimuth[at].astype(float)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)
