"""Vehicles on the lanes of the streets, pedestrians along the walls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wavefoundry.errors import InputError
from wavefoundry.twin.options import Sampling, Traffic
from wavefoundry.twin.street_map import StreetMap
from wavefoundry.twin.streets import Streets, Turn, distances_along, find_pavements, find_streets, length

# A lane that leads on with a smaller change of heading goes straight on [rad].
STRAIGHT = np.pi / 4
# Directions are taken over at least this length of a way [m].
SHORTEST_STEP = 0.1
# Fresh starts before a user is given up: a window can be too long for the bends of its way.
ATTEMPTS = 50


@dataclass(frozen=True)
class Trajectories:
    """Motion of all users, vehicles first, then pedestrians: on one way, straight and uniform inside a window.

    Attributes:
        position: (user, window, slot, xyz) of the antenna [m]; that of a vehicle is on its roof.
        velocity: (user, window, xyz) [m/s], along the ground; its length is the user's speed.
        speed: (user,) [m/s].
    """

    position: np.ndarray
    velocity: np.ndarray
    speed: np.ndarray


def simulate(
    street_map: StreetMap, traffic: Traffic, sampling: Sampling, generator: np.random.Generator
) -> Trajectories:
    """Move every user from window to window, each at a constant speed of its own.

    Vehicles start anywhere on a lane. At a crossing they turn with `turn_probability`, into any street that is not
    straight on, else go straight on; where nothing leads straight on, they take any other street, and at a dead end
    they turn round. Pedestrians follow the walls and turn round where the site ends.

    Raises:
        InputError: no street is wide enough for vehicles, or windows are too long to be straight on these streets.
    """
    ranges = [traffic.vehicle_speed] * traffic.vehicles + [traffic.pedestrian_speed] * traffic.pedestrians
    speed = np.array([generator.uniform(low, high) for low, high in ranges])
    streets, pavements = find_streets(street_map), find_pavements(street_map)
    if traffic.vehicles and not streets.lanes:
        raise InputError(
            f"traffic.vehicles {traffic.vehicles}: the ground within {street_map.radius:g} m of "
            f"{street_map.centre.tolist()} has no street wide enough for vehicles; allowed: 0, less "
            f"traffic.clearance than {traffic.clearance:g} m, or another centre or radius"
        )
    if traffic.pedestrians and not pavements:
        raise InputError(
            f"traffic.pedestrians {traffic.pedestrians}: the ground within {street_map.radius:g} m of "
            f"{street_map.centre.tolist()} has no way along walls; allowed: 0, less traffic.clearance than "
            f"{traffic.clearance:g} m, or another centre or radius"
        )
    vehicle = partial(drive, streets, traffic.turn_probability, generator)
    pedestrian = partial(stroll, pavements, generator)
    draws = [vehicle] * traffic.vehicles + [pedestrian] * traffic.pedestrians
    users = [_travel(street_map, draw, one, sampling) for draw, one in zip(draws, speed, strict=True)]
    start, direction = (np.array(part) for part in zip(*users, strict=True))
    height = np.repeat([traffic.vehicle_height, traffic.pedestrian_height], [traffic.vehicles, traffic.pedestrians])
    velocity = speed[:, None, None] * direction
    time = np.arange(sampling.slots)[:, None] * sampling.slot_duration
    position = start[:, :, None] + velocity[:, :, None] * time
    position[..., 2] += height[:, None, None]
    return Trajectories(position, velocity, speed)


def drive(streets: Streets, turn_probability: float, generator: np.random.Generator, distance: float) -> np.ndarray:
    """Way (point, 2) [m] of a vehicle, at least `distance` [m] long, from anywhere on a lane."""
    lengths = np.array([length(lane) for lane in streets.lanes])
    lane = int(generator.choice(len(lengths), p=lengths / lengths.sum()))
    pieces = [_rest(streets.lanes[lane], generator.uniform(0, lengths[lane]))]
    covered = length(pieces[0])
    while covered < distance:
        turn = _next_turn(streets.turns[lane], turn_probability, generator)
        lane = turn.lane
        pieces += [turn.way, streets.lanes[lane]]
        covered += length(streets.lanes[lane])
    return np.concatenate(pieces)


def stroll(pavements: list[np.ndarray], generator: np.random.Generator, distance: float) -> np.ndarray:
    """Way (point, 2) [m] of a pedestrian, at least `distance` [m] long, from anywhere on a pavement."""
    lengths = np.array([length(way) for way in pavements])
    way = pavements[int(generator.choice(len(lengths), p=lengths / lengths.sum()))]
    way = way[:: generator.choice([-1, 1])]
    # There and back again; round and round, where it is closed.
    again = way[1:] if np.array_equal(way[0], way[-1]) else np.concatenate([way[-2::-1], way[1:]])
    start = _rest(way, generator.uniform(0, length(way)))
    rounds = max(int(np.ceil((distance - length(start)) / length(again))), 0) + 1
    return np.concatenate([start, *[again] * rounds])


def _rest(way: np.ndarray, distance: float) -> np.ndarray:
    """What is left of a way (point, 2) after the first `distance` [m] of it."""
    along = distances_along(way)
    return np.concatenate([_points_at(way, along, np.array([distance])), way[along > distance]])


def _next_turn(turns: list[Turn], turn_probability: float, generator: np.random.Generator) -> Turn:
    straight = min(turns, key=lambda turn: abs(turn.angle))
    if abs(straight.angle) > STRAIGHT:
        return turns[generator.integers(len(turns))]
    others = [turn for turn in turns if turn is not straight]
    if others and generator.random() < turn_probability:
        return others[generator.integers(len(others))]
    return straight


def _travel(
    street_map: StreetMap, draw: Callable[[float], np.ndarray], speed: float, sampling: Sampling
) -> tuple[np.ndarray, np.ndarray]:
    """Ground points (window, 3) [m] at the window starts of one user, and unit vectors (window, 3) of its motion."""
    duration = (sampling.slots - 1) * sampling.slot_duration
    starts = np.arange(sampling.windows) * sampling.window_interval
    step = max(speed * duration, SHORTEST_STEP)
    for _ in range(ATTEMPTS):
        way = draw(speed * starts[-1] + step)
        way = np.concatenate([way, street_map.height_at(way)[:, None]], axis=-1)
        along = distances_along(way)
        start, end = (_points_at(way, along, speed * starts + ahead) for ahead in (0.0, step))
        chord = np.linalg.norm(end - start, axis=1, keepdims=True)
        if chord.min() < 0.5 * step:
            # Turning round on the spot.
            continue
        direction = (end - start) / chord
        slots = start[:, None] + speed * np.linspace(0, duration, sampling.slots)[:, None] * direction[:, None]
        if street_map.is_walkable(slots[..., :2]).all():
            return start, direction
    raise InputError(
        f"sampling: windows of {speed * duration:.1f} m (slots x slot_duration at {speed:.1f} m/s) are too long to be "
        "straight on these streets; allowed: shorter windows, lower speeds, or less traffic.clearance"
    )


def _points_at(way: np.ndarray, along: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Points (distance, axis) of a way (point, axis) whose points lie `along` [m] it."""
    return np.stack([np.interp(distances, along, axis) for axis in way.T], axis=-1)
