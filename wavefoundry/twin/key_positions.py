"""All links of a ray-traced twin: which positions are traced, in which units of work, and how links come of them."""

import numpy as np

from wavefoundry.errors import InputError
from wavefoundry.map_units import MapUnits
from wavefoundry.twin.continuation import Paths
from wavefoundry.twin.options import ContinuousKeys, RayTracedTwin
from wavefoundry.twin.ray_tracing import VEHICLE_HEIGHT, Traced, Vehicles, concatenate, trace_points, trace_windows
from wavefoundry.twin.street_map import StreetMap
from wavefoundry.twin.traffic import Trajectories

# Share of a link's energy in paths that are born or die above which it is traced again. What is below fades over the
# whole segment, with an error of a third of that at the most.
LARGEST_CHANGE = 0.01
CLOSER = 8  # parts of the interval between keys in a link that is traced again
HEIGHT_STEP = 0.01  # of the antenna over the ground, in the discrete variant [m]


def trace(
    twin: RayTracedTwin, trajectories: Trajectories, street_map: StreetMap, seed: int, map_units: MapUnits
) -> Traced:
    """Paths of all links at every slot: base station by base station, user by user, window by window.

    Of continuous keys, only the key positions are traced, and tracks evolve to the slots between them. Links of which
    much is born or dies between keys, at the edge of a shadow, are traced again at closer keys: the edge is sharp.

    Raises:
        InputError: vehicles are objects of the scene, and their antennas inside them; or the scene cannot be traced.
    """
    keys = twin.tracing.keys
    if not isinstance(keys, ContinuousKeys):
        return _trace_grid(twin, keys.spacing, trajectories, street_map, seed, map_units)
    if twin.tracing.vehicles_scatter:
        return _trace_among_vehicles(twin, trajectories, seed, map_units)
    return _trace_windows(twin, keys.interval, trajectories, seed, map_units)


def _trace_windows(
    twin: RayTracedTwin, interval: int, trajectories: Trajectories, seed: int, map_units: MapUnits
) -> Traced:
    """At key positions, `interval` slots apart, and at closer ones where much is born or dies between keys."""
    keys, last, stations = twin.key_slots(), twin.site.sampling.slots - 1, len(twin.base_stations)
    position, velocity = trajectories.position.reshape(-1, last + 1, 3), trajectories.velocity.reshape(-1, 3)
    everyone = [np.arange(len(position))] * stations
    found = _trace_at(twin, keys, position, velocity, everyone, seed, map_units)
    if len(keys) == 1:
        return found
    closer = [*range(0, last, -(-min(last, interval) // CLOSER)), last]
    uneasy = np.flatnonzero(_changing_share(found.paths) > LARGEST_CHANGE)
    if len(uneasy) == 0 or closer == keys:
        return found
    station, link = np.divmod(uneasy, len(position))
    some = [link[station == one] for one in range(stations)]
    traced = _trace_at(twin, closer, position, velocity, some, seed, map_units)
    order = np.arange(len(found.power_kept))
    order[uneasy] = len(order) + np.arange(len(uneasy))
    return concatenate([found, traced], order)


def _trace_at(twin, slots: list[int], position, velocity, links: list[np.ndarray], seed: int, map_units) -> Traced:
    """Some links of each base station, one base station after the other."""
    arguments, rows, first = [], [], 0
    for station, chosen in enumerate(links):
        for chunk in _chunks(len(chosen), max(1, twin.tracing.users_per_call // len(slots))):
            part = chosen[chunk]
            arguments.append((twin, station, slots, position[part][:, slots], velocity[part], seed, None))
        rows.append(first + np.arange(len(chosen)))
        first = sum(len(one[3]) for one in arguments)
    return concatenate(list(map_units(trace_windows, arguments)), np.concatenate(rows))


def _changing_share(paths: Paths) -> np.ndarray:
    """Share of the energy of each link (link,) in tracks that are born or die."""
    power = paths.power
    changing = np.expand_dims(paths.valid.any(1) & ~paths.valid.all(1), 1)
    total = power.sum((1, 2))
    return np.divide((power * changing).sum((1, 2)), total, out=np.zeros(len(total)), where=total > 0)


def _trace_among_vehicles(twin: RayTracedTwin, trajectories: Trajectories, seed: int, map_units: MapUnits) -> Traced:
    """Window by window: its vehicles are the same for all users that are traced in it.

    Only at key positions, for each of them needs a scene of its own: what is born or dies between them fades.
    """
    traffic, keys, stations = twin.site.traffic, twin.key_slots(), len(twin.base_stations)
    if traffic.vehicle_height <= VEHICLE_HEIGHT:
        raise InputError(
            f"traffic.vehicle_height {traffic.vehicle_height:g} m: with tracing.vehicles_scatter antennas are on the "
            f"roofs of the vehicles, which are {VEHICLE_HEIGHT:g} m high; allowed: more than {VEHICLE_HEIGHT:g} m"
        )
    users, windows = trajectories.velocity.shape[:2]
    chunks = _chunks(users, twin.tracing.users_per_call)
    ground = trajectories.position[: traffic.vehicles][:, :, keys] - np.array([0.0, 0.0, traffic.vehicle_height])
    arguments = []
    for station in range(stations):
        for window in range(windows):
            vehicles = Vehicles(ground[:, window], trajectories.velocity[: traffic.vehicles, window])
            position, velocity = trajectories.position[:, window][:, keys], trajectories.velocity[:, window]
            arguments += [(twin, station, keys, position[part], velocity[part], seed, vehicles) for part in chunks]
    parts = list(map_units(trace_windows, arguments))
    rows = _rows(stations * windows, chunks, users).reshape(stations, windows, users)
    return concatenate(parts, rows.swapaxes(1, 2).ravel())


def _trace_grid(
    twin: RayTracedTwin,
    spacing: float,
    trajectories: Trajectories,
    street_map: StreetMap,
    seed: int,
    map_units: MapUnits,
) -> Traced:
    """Every slot takes the paths of the nearest point of a grid of this spacing [m]; each point is traced once."""
    points, nearest = _grid_points(trajectories.position, street_map, spacing)
    chunks, stations = _chunks(len(points), twin.tracing.users_per_call), len(twin.base_stations)
    arguments = [(twin, station, points[part], seed) for station in range(stations) for part in chunks]
    traced = concatenate(list(map_units(trace_points, arguments)), _rows(stations, chunks, len(points)))
    slots = trajectories.position.shape[2]
    # (station * user * window, slot)
    rows = (np.arange(stations)[:, None] * len(points) + nearest.ravel()).reshape(-1, slots)
    paths = Paths(**{name: values[rows, 0] for name, values in vars(traced.paths).items()})
    reached = paths.valid.any(-1)
    kept = np.where(reached, traced.power_kept[rows], 0.0).sum(1) / np.maximum(reached.sum(1), 1)
    return Traced(paths, traced.line_of_sight[rows[:, 0]], kept)


def _grid_points(position: np.ndarray, street_map: StreetMap, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Grid points (point, 3) [m], as high over the ground as the users near them, and the nearest of each position."""
    across = position[..., :2]
    height = np.round((position[..., 2] - street_map.height_at(across)) / HEIGHT_STEP)
    steps = np.concatenate([np.round(across / spacing), height[..., None]], axis=-1).reshape(-1, 3).astype(int)
    points, nearest = np.unique(steps, axis=0, return_inverse=True)
    place = points[:, :2] * spacing
    z = street_map.height_at(place) + points[:, 2] * HEIGHT_STEP
    return np.concatenate([place, z[:, None]], axis=-1), nearest.reshape(position.shape[:-1])


def _chunks(count: int, largest: int) -> list[np.ndarray]:
    """Indices of units of equal size, none without indices: the ray tracer compiles its program for each size.

    The last unit repeats the last index where indices run out.
    """
    if count == 0:
        return []
    size = -(-count // -(-count // largest))
    return [np.minimum(np.arange(first, first + size), count - 1) for first in range(0, count, size)]


def _rows(rounds: int, chunks: list[np.ndarray], count: int) -> np.ndarray:
    """Rows of the units' results, `rounds` times the chunks of `count` indices, without what was repeated."""
    traced = sum(len(chunk) for chunk in chunks)
    return (np.arange(rounds)[:, None] * traced + np.arange(count)).ravel()
