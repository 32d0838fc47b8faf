"""Vehicles and pedestrians that move over the open ground of a scene."""

from dataclasses import dataclass

import numpy as np

from wavefoundry.errors import InputError
from wavefoundry.twin.config import Sampling, Traffic
from wavefoundry.twin.street_map import StreetMap

HEADINGS = np.arange(32) * (2 * np.pi / 32)
# Distance of the crossings in LWM-Temporal's road grid [m]: a way is straight for at most this long between two
# windows, and the probability of turning refers to it.
STRIDE = 8.0
# How far users look along a direction [m]; a direction that is free this far counts as a street to turn into.
SIGHT = 25.0
# Fresh starts before a user is given up: a start can lie in a corner that its speed does not fit into.
ATTEMPTS = 200


@dataclass(frozen=True)
class Tracks:
    """Motion of all users, straight and uniform inside a window.

    Attributes:
        position: (user, window, slot, xyz) [m].
        velocity: (user, window, xyz) [m/s], its length is the user's speed.
        speed: (user,) [m/s].
    """

    position: np.ndarray
    velocity: np.ndarray
    speed: np.ndarray


def simulate(street_map: StreetMap, traffic: Traffic, sampling: Sampling, generator: np.random.Generator) -> Tracks:
    """Move every user from window to window. Vehicles come first, then pedestrians.

    Raises:
        InputError: the open ground has no room for a user of the given speed.
    """
    ranges = [traffic.vehicle_speed] * traffic.vehicles + [traffic.pedestrian_speed] * traffic.pedestrians
    speed = np.array([generator.uniform(*limits) for limits in ranges])
    starts = np.argwhere(street_map.walkable)
    walks = [_walk(street_map, starts, one, traffic.turn_probability, sampling, generator) for one in speed]
    point, heading = (np.array(part) for part in zip(*walks, strict=True))
    duration = sampling.slots * sampling.slot_duration
    velocity = speed[:, None, None] * _along_ground(street_map, point, heading, speed[:, None] * duration)
    start = np.concatenate([point, (street_map.height(point) + traffic.user_height)[..., None]], axis=-1)
    slots = np.arange(sampling.slots)[:, None] * sampling.slot_duration
    return Tracks(start[:, :, None] + velocity[:, :, None] * slots, velocity, speed)


def _walk(street_map, starts, speed, turn_probability, sampling, generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (window, 2) and headings (window,) at the window starts of one user."""
    for _ in range(ATTEMPTS):
        start = street_map.origin + street_map.cell_size * starts[generator.integers(len(starts))]
        walk = _attempt(street_map, start, _pieces(speed, sampling), turn_probability, sampling.windows, generator)
        if walk is not None:
            return walk
    raise InputError(
        f"traffic: the open ground has no room for a user of {speed:.1f} m/s; allow a larger radius, less clearance "
        "or lower speeds"
    )


def _pieces(speed: float, sampling: Sampling) -> np.ndarray:
    """Lengths [m] of the straight pieces from one window start to the next; the first holds the whole window."""
    window = speed * sampling.slots * sampling.slot_duration
    rest = speed * sampling.window_interval - window
    count = int(np.ceil(rest / STRIDE))
    return np.array([window, *[rest / max(count, 1)] * count])


def _attempt(street_map, start, pieces, turn_probability, windows, generator):
    point = start
    free = _free_lengths(street_map, point, max(SIGHT, pieces.max()))
    if free.sum() == 0:
        return None
    # Towards where it goes far: along the street.
    current = int(generator.choice(len(HEADINGS), p=free**2 / (free**2).sum()))
    points, headings = [], []
    for window in range(windows):
        for index, length in enumerate(pieces):
            free = _free_lengths(street_map, point, max(SIGHT, length))
            current = _next_heading(free, current, length, turn_probability, generator)
            if current is None:
                return None
            if index == 0:
                points.append(point)
                headings.append(HEADINGS[current])
            point = point + length * np.array([np.cos(HEADINGS[current]), np.sin(HEADINGS[current])])
            if window == windows - 1:
                break
    return np.array(points), np.array(headings)


def _free_lengths(street_map: StreetMap, point: np.ndarray, reach: float) -> np.ndarray:
    """How far [m] one can walk from the point along each of the headings, at most `reach`."""
    step = street_map.cell_size / 2
    distances = np.arange(1, int(np.ceil(reach / step)) + 1) * step
    directions = np.stack([np.cos(HEADINGS), np.sin(HEADINGS)], axis=-1)
    walkable = street_map.is_walkable(point + distances[:, None] * directions[:, None])
    return np.where(walkable.all(1), len(distances), np.argmin(walkable, axis=1)) * step


def _next_heading(free, current, length, turn_probability, generator) -> int | None:
    """Index of the heading of the next `length` m: on, or into a side street, or, at the way's end, where it is freest.

    None if no heading is free for that long.
    """
    deviation = np.abs((np.arange(len(HEADINGS)) - current + 16) % 32 - 16) * (360 / 32)
    turns = generator.random() < 1 - (1 - turn_probability) ** (length / STRIDE)
    side = np.flatnonzero((deviation >= 45) & (deviation <= 135) & (free >= max(SIGHT, length)))
    if turns and len(side):
        return int(generator.choice(side))
    if free[current] >= length:
        return current
    passable = np.flatnonzero(free >= length)
    if len(passable) == 0:
        return None
    # Bends of the street first, turning round last; of equally free directions the one nearest to straight on.
    order = np.lexsort((deviation[passable], -free[passable], deviation[passable] > 90))
    return int(passable[order[0]])


def _along_ground(street_map, point, heading, length) -> np.ndarray:
    """Unit vectors (user, window, 3) along the heading on the slope of the ground over the next `length` m."""
    flat = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    # Over at least a cell: the slope of the raster is not known finer.
    length = np.maximum(length, street_map.cell_size)[..., None]
    rise = street_map.height(point + length * flat) - street_map.height(point)
    direction = np.concatenate([flat, rise[..., None] / length], axis=-1)
    return direction / np.linalg.norm(direction, axis=-1, keepdims=True)
