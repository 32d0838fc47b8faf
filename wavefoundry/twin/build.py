"""A twin from its parameters: users, their paths, a summary in numbers, and the map for its picture."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from wavefoundry.errors import InputError
from wavefoundry.twin.config import RayTracedTwin, StatisticalTwin
from wavefoundry.twin.dataset import ray_traced_dataset, statistical_dataset
from wavefoundry.twin.ray_tracing import concatenate, trace
from wavefoundry.twin.statistical import Clusters, drop, generate
from wavefoundry.twin.street_map import StreetMap, survey
from wavefoundry.twin.summary import rounded, summarise
from wavefoundry.twin.traffic import Tracks, simulate


@dataclass(frozen=True)
class Built:
    """Everything that is known of a twin.

    Attributes:
        paths: one sample for every window with a path; variables as in docs/data-contract.md, without `split`.
        summary: figures of the whole twin, ready for JSON.
        tracks: motion of all users, also where no path leads.
        reached: (user, window) bool, at least one path.
        line_of_sight: (user, window) bool.
        street_map: where users can be; None for a statistical twin.
    """

    paths: xr.Dataset
    summary: dict
    tracks: Tracks
    reached: np.ndarray
    line_of_sight: np.ndarray
    street_map: StreetMap | None


# Wraps an iterable of calls to show progress: (iterable, number of calls) -> iterable.
Progress = Callable[[Iterable, int], Iterable]


def build(twin: RayTracedTwin | StatisticalTwin, seed: int, progress: Progress = lambda calls, total: calls) -> Built:
    """Build a twin; the same parameters and seed give the same bits.

    Raises:
        InputError: no open ground, no room for the traffic, a carrier outside the range of the scene's materials, or
            no user is reached.
    """
    motion, channel = np.random.SeedSequence(seed).generate_state(2)
    construct = _ray_traced if isinstance(twin, RayTracedTwin) else _statistical
    return construct(twin, np.random.default_rng(motion), int(channel), progress)


def _ray_traced(twin: RayTracedTwin, generator: np.random.Generator, seed: int, progress: Progress) -> Built:
    street_map = survey(twin)
    tracks = simulate(street_map, twin.traffic, twin.sampling, generator)
    position, velocity = tracks.position[:, :, 0].reshape(-1, 3), tracks.velocity.reshape(-1, 3)
    calls = -(-len(position) // twin.tracing.users_per_call)
    traced = concatenate(list(progress(trace(twin, position, velocity, seed), calls)))
    reached = traced.valid.any(-1)
    if not reached.any():
        raise InputError(
            f"base_station.position {twin.base_station.position}: no path reaches any user in {twin.scene}; move the "
            "base station, or raise tracing.max_depth or tracing.samples_per_source"
        )
    paths = ray_traced_dataset(twin, tracks, traced, seed)
    shape = tracks.position.shape[:2]
    states = reached.reshape(shape), traced.line_of_sight.reshape(shape)
    summary = summarise(paths, tracks, *states) | {"power_kept": rounded(traced.power_kept[reached].mean())}
    return Built(paths, summary, tracks, *states, street_map)


def _statistical(twin: StatisticalTwin, generator: np.random.Generator, seed: int, progress: Progress) -> Built:
    tracks = drop(twin, generator)
    parts = list(progress(generate(twin, tracks, seed), -(-twin.users // twin.users_per_call)))
    fields = ("coefficient", "delay", "valid")
    clusters = Clusters(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))
    paths = statistical_dataset(twin, tracks, clusters, seed)
    line_of_sight = np.full((twin.users, 1), twin.line_of_sight)
    reached = np.ones_like(line_of_sight)
    summary = summarise(paths, tracks, reached, line_of_sight)
    return Built(paths, summary, tracks, reached, line_of_sight, None)
