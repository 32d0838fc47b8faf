"""A twin from its parameters: users, their paths, a summary in numbers, and the map for its picture."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from wavefoundry.errors import InputError
from wavefoundry.map_units import MapUnits
from wavefoundry.twin.dataset import ray_traced_dataset, statistical_dataset
from wavefoundry.twin.key_positions import trace
from wavefoundry.twin.options import RayTracedTwin, StatisticalTwin
from wavefoundry.twin.statistical import collect, drop, generate, units
from wavefoundry.twin.street_map import StreetMap, survey
from wavefoundry.twin.summary import rounded, summarise, why_not_reached
from wavefoundry.twin.traffic import Trajectories, simulate


@dataclass(frozen=True)
class Built:
    """Everything that is known of a twin.

    Attributes:
        paths: one sample for every window with a path; variables as in docs/data-contract.md, without `split`.
        summary: figures of the whole twin, ready for JSON.
        trajectories: motion of all users, also where no path leads.
        reached: (station, user, window) bool, at least one path.
        line_of_sight: (station, user, window) bool, at the first slot.
        street_map: where users can be; None for a statistical twin.
    """

    paths: xr.Dataset
    summary: dict
    trajectories: Trajectories
    reached: np.ndarray
    line_of_sight: np.ndarray
    street_map: StreetMap | None


def build(
    twin: RayTracedTwin | StatisticalTwin,
    test_users: np.ndarray,
    motion_seed: int,
    channel_seed: int,
    map_units: MapUnits,
) -> Built:
    """Build a twin; the same parameters and seeds give the same bits, whoever does the units of work.

    Args:
        twin: parameters.
        test_users: (user,) bool, the users of the test split; statistical drops can have speeds of their own for them.
        motion_seed: of the users' motion.
        channel_seed: of ray directions or fading.
        map_units: does units of work on one torch thread each.

    Raises:
        InputError: no open ground, no room for the traffic, a scene or base station that cannot be traced, or no user
            is reached.
    """
    if isinstance(twin, RayTracedTwin):
        return _ray_traced(twin, motion_seed, channel_seed, map_units)
    return _statistical(twin, test_users, motion_seed, channel_seed, map_units)


def _ray_traced(twin: RayTracedTwin, motion_seed: int, channel_seed: int, map_units: MapUnits) -> Built:
    street_map = survey(twin.site)
    trajectories = simulate(street_map, twin.site.traffic, twin.site.sampling, np.random.default_rng(motion_seed))
    traced = trace(twin, trajectories, street_map, channel_seed, map_units)
    reached = traced.paths.valid.any((1, 2))
    if not reached.any():
        positions = ", ".join(str(station.position) for station in twin.base_stations)
        raise InputError(
            f"base_stations {positions}: no path reaches any user in {twin.site.scene}; move the base stations, or "
            "raise tracing.max_depth or tracing.samples_per_source"
        )
    paths = ray_traced_dataset(twin, trajectories, traced, channel_seed)
    shape = (len(twin.base_stations), *trajectories.position.shape[:2])
    states = reached.reshape(shape), traced.line_of_sight.reshape(shape)
    summary = summarise(paths, trajectories, *states) | {"power_kept": rounded(traced.power_kept[reached].mean())}
    return Built(
        paths, summary | why_not_reached(twin, trajectories, reached.reshape(shape)), trajectories, *states, street_map
    )


def _statistical(
    twin: StatisticalTwin, test_users: np.ndarray, motion_seed: int, channel_seed: int, map_units: MapUnits
) -> Built:
    trajectories = drop(twin, test_users, np.random.default_rng(motion_seed))
    clusters = collect(map_units(generate, units(twin, trajectories, channel_seed)), twin.users)
    paths = statistical_dataset(twin, trajectories, clusters, channel_seed)
    line_of_sight = np.full((1, twin.users, 1), twin.line_of_sight)
    reached = np.ones_like(line_of_sight)
    summary = summarise(paths, trajectories, reached, line_of_sight)
    return Built(paths, summary, trajectories, reached, line_of_sight, None)
