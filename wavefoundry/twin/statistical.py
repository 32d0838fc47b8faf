"""Users dropped before a base station; their channels follow 3GPP TR 38.901, by sionna."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wavefoundry.twin.options import Sector, StatisticalTwin
from wavefoundry.twin.traffic import Trajectories

# Half the opening of a sector, around the x axis that the array faces [rad].
HALF_SECTOR = np.pi / 3


@dataclass(frozen=True)
class Clusters:
    """Clusters of links; entries that are not `valid` are 0.

    Attributes:
        coefficient: (link, path, antenna, time) complex64, with path loss and shadowing.
        delay: (link, path) float32 [s], relative to the first path.
        valid: (link, path) bool.
    """

    coefficient: np.ndarray
    delay: np.ndarray
    valid: np.ndarray


def drop(twin: StatisticalTwin, test_users: np.ndarray, generator: np.random.Generator) -> Trajectories:
    """Users uniform over the area, each in a random direction at a constant speed.

    Args:
        twin: area, speeds, slots.
        test_users: (user,) bool; they take `test_speeds` in turn, where there are any.
        generator: source of randomness. Places and headings do not depend on the speeds.

    Returns:
        Trajectories with one window for each user.
    """
    start = np.concatenate([_places(twin, generator), np.full((twin.users, 1), twin.user_height)], axis=1)
    heading = generator.uniform(0, 2 * np.pi, twin.users)
    low, high = twin.speed
    speed = generator.uniform(low, high, twin.users)
    if twin.test_speeds is not None:
        speed[test_users] = np.resize(twin.test_speeds, np.count_nonzero(test_users))
    velocity = speed[:, None] * np.stack([np.cos(heading), np.sin(heading), np.zeros(twin.users)], axis=-1)
    time = np.arange(twin.slots) * twin.slot_duration
    position = start[:, None] + velocity[:, None] * time[:, None]
    return Trajectories(position[:, None], velocity[:, None], speed)


def units(
    twin: StatisticalTwin, trajectories: Trajectories, seed: int
) -> list[tuple[StatisticalTwin, np.ndarray, np.ndarray, int]]:
    """Arguments of `generate` for all users in order, `users_per_call` in each call but the last."""
    firsts = range(0, twin.users, twin.users_per_call)
    seeds = np.random.SeedSequence(seed).generate_state(len(firsts))
    parts = [slice(first, first + twin.users_per_call) for first in firsts]
    return [
        (twin, trajectories.position[part, 0, 0], trajectories.velocity[part, 0], int(seed))
        for part, seed in zip(parts, seeds, strict=True)
    ]


def generate(twin: StatisticalTwin, position: np.ndarray, velocity: np.ndarray, seed: int) -> Clusters:
    """Draw the channels of the users of one call, independent of each other (TR 38.901 section 7.5).

    The generator of sionna is batched, so the number of users of a call is part of the result: fewer users are filled
    up to `users_per_call`. Bits repeat with one torch thread. Users are outdoors and outside of cars; in the indoor
    models they are in the room of the base station.

    Args:
        twin: model and antenna array.
        position: (link, 3) [m] at the first slot.
        velocity: (link, 3) [m/s].
        seed: of sionna's global generator.
    """
    from sionna.phy import config

    config.seed = seed
    links = len(position)
    # The last user is repeated where users run out.
    batch = np.minimum(np.arange(twin.users_per_call), links - 1)
    coefficient, delay = _draw(twin, position[batch], velocity[batch])
    coefficient, delay = coefficient[:links], delay[:links]
    valid = np.abs(coefficient).max(axis=(2, 3)) > 0
    return Clusters(coefficient, np.where(valid, delay, np.float32(0)), valid)


def collect(parts: Iterable[Clusters], links: int) -> Clusters:
    """The clusters of all calls as one; each part is let go of before the next one comes."""
    whole, first = {}, 0
    for part in parts:
        rows = slice(first, first + len(part.valid))
        for name, values in vars(part).items():
            if name not in whole:
                whole[name] = np.empty((links, *values.shape[1:]), values.dtype)
            whole[name][rows] = values
        first = rows.stop
    return Clusters(**whole)


def _places(twin: StatisticalTwin, generator: np.random.Generator) -> np.ndarray:
    """Horizontal places (user, 2) [m] of the users, seen from the base station."""
    area = twin.area
    if isinstance(area, Sector):
        (near, far), opening, centre = area.distance, HALF_SECTOR, 0.0
    else:
        (near, far), opening, centre = area.radius, np.pi, area.centre_distance
    distance = np.sqrt(generator.uniform(near**2, far**2, twin.users))
    azimuth = generator.uniform(-opening, opening, twin.users)
    return np.stack([centre + distance * np.cos(azimuth), distance * np.sin(azimuth)], axis=-1)


def _channel(twin: StatisticalTwin):
    from sionna.phy.channel import tr38901

    carrier = {"carrier_frequency": twin.carrier_frequency}
    array = tr38901.PanelArray(
        num_rows_per_panel=twin.array.rows,
        num_cols_per_panel=twin.array.columns,
        element_vertical_spacing=twin.array.spacing,
        element_horizontal_spacing=twin.array.spacing,
        antenna_pattern={"iso": "omni", "tr38901": "38.901"}[twin.array.pattern],
        polarization="single" if twin.array.polarisations == 1 else "dual",
        polarization_type=twin.array.polarisation,
        **carrier,
    )
    user = tr38901.Antenna(antenna_pattern="omni", polarization="single", polarization_type="V", **carrier)
    ends = {"ut_array": user, "bs_array": array, "direction": "downlink", **carrier}
    model, _, factory = twin.model.partition("_")
    if model in ("umi", "uma"):
        # Nobody is indoors: the outdoor-to-indoor model has no effect.
        return {"umi": tr38901.UMi, "uma": tr38901.UMa}[model](o2i_model="low", **ends)
    if model == "inf":
        return tr38901.InF(factory_scenario=factory, **ends)
    return {"rma": tr38901.RMa, "inh": tr38901.InH}[model](**ends)


def _draw(twin: StatisticalTwin, position: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (link, path, antenna, time) and delays (link, path)."""
    import torch

    channel = _channel(twin)
    links = len(position)
    zeros = torch.zeros(links, 1, 3)
    outside = torch.zeros(links, 1, dtype=torch.bool)
    channel.set_topology(
        ut_loc=torch.from_numpy(position[:, None].astype(np.float32)),
        bs_loc=torch.tensor([0.0, 0.0, twin.base_station_height]).repeat(links, 1, 1),
        ut_orientations=zeros,
        bs_orientations=zeros,
        ut_velocities=torch.from_numpy(velocity[:, None].astype(np.float32)),
        in_state=~outside if twin.model.startswith("in") else outside,
        los=twin.line_of_sight,
        **({"in_car": outside} if twin.model == "rma" else {}),
    )
    coefficient, delay = channel(twin.slots, 1 / twin.slot_duration)
    # (link, rx, rx antenna, tx, tx antenna, path, time) -> (link, path, antenna, time). Sionna counts antennas column
    # by column, from the top and by rising y, within each polarisation.
    coefficient = coefficient[:, 0, 0, 0].unflatten(1, (twin.array.polarisations, twin.array.columns, twin.array.rows))
    coefficient = coefficient.permute(0, 4, 1, 3, 2, 5).flatten(2, 4)
    return coefficient.contiguous().numpy(), delay[:, 0, 0].numpy()
