"""Users dropped in one sector of a base station; their channels follow 3GPP TR 38.901, by sionna."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wavefoundry.twin.array import from_sionna_order
from wavefoundry.twin.config import StatisticalTwin
from wavefoundry.twin.traffic import Tracks

# Half the opening of a sector, around the x axis that the array faces [rad].
HALF_SECTOR = np.pi / 3


@dataclass(frozen=True)
class Clusters:
    """Clusters of links in the order of sionna; entries that are not `valid` are 0.

    Attributes:
        coefficient: (link, path, antenna, time) complex64, with path loss and shadowing.
        delay: (link, path) float32 [s], relative to the first path.
        valid: (link, path) bool.
    """

    coefficient: np.ndarray
    delay: np.ndarray
    valid: np.ndarray


def drop(twin: StatisticalTwin, generator: np.random.Generator) -> Tracks:
    """Users uniform over the area of the sector between the two distances, each in a random direction."""
    near, far = twin.distance
    distance = np.sqrt(generator.uniform(near**2, far**2, twin.users))
    azimuth = generator.uniform(-HALF_SECTOR, HALF_SECTOR, twin.users)
    speed = generator.uniform(*twin.speed, twin.users)
    heading = generator.uniform(0, 2 * np.pi, twin.users)
    height = np.full(twin.users, twin.user_height)
    start = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), height], axis=-1)
    velocity = np.stack([speed * np.cos(heading), speed * np.sin(heading), np.zeros(twin.users)], axis=-1)
    time = np.arange(twin.slots) * twin.slot_duration
    position = start[:, None] + velocity[:, None] * time[:, None]
    return Tracks(position[:, None], velocity[:, None], speed)


def generate(twin: StatisticalTwin, tracks: Tracks, seed: int) -> Iterator[Clusters]:
    """Draw the channels of all users, `users_per_call` at a time, independent of each other.

    The generator of sionna is batched, so the users of a call are part of the result; the last call is filled up to the
    full number. Users are outdoors, and outside of cars.

    Args:
        twin: model and antenna array.
        tracks: users with one window each.
        seed: of sionna's global generator.

    Yields:
        The clusters of the next users, in order.
    """
    from sionna.phy import config

    config.seed = seed
    channel = _channel(twin)
    users = len(tracks.speed)
    for first in range(0, users, twin.users_per_call):
        # The last call repeats its last user where users run out.
        batch = np.minimum(np.arange(first, first + twin.users_per_call), users - 1)
        coefficient, delay = _draw(channel, twin, tracks.position[batch, 0, 0], tracks.velocity[batch, 0])
        kept = slice(0, min(users - first, twin.users_per_call))
        valid = np.abs(coefficient[kept]).max(axis=(2, 3)) > 0
        yield Clusters(coefficient[kept], np.where(valid, delay[kept], np.float32(0)), valid)


def _channel(twin: StatisticalTwin):
    from sionna.phy.channel import tr38901

    carrier = {"carrier_frequency": twin.carrier_frequency}
    polarisation = {"polarization": "single", "polarization_type": "V"}
    array = tr38901.PanelArray(
        num_rows_per_panel=twin.array.rows,
        num_cols_per_panel=twin.array.columns,
        element_vertical_spacing=twin.array.spacing,
        element_horizontal_spacing=twin.array.spacing,
        antenna_pattern={"iso": "omni", "tr38901": "38.901"}[twin.array.pattern],
        **polarisation,
        **carrier,
    )
    user = tr38901.Antenna(antenna_pattern="omni", **polarisation, **carrier)
    ends = {"ut_array": user, "bs_array": array, "direction": "downlink", **carrier}
    if twin.model == "rma":
        return tr38901.RMa(**ends)
    # Nobody is indoors: the outdoor-to-indoor model has no effect.
    return {"umi": tr38901.UMi, "uma": tr38901.UMa}[twin.model](o2i_model="low", **ends)


def _draw(channel, twin: StatisticalTwin, position: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (link, path, antenna, time) and delays (link, path)."""
    import torch

    links = len(position)
    zeros = torch.zeros(links, 1, 3)
    outside = torch.zeros(links, 1, dtype=torch.bool)
    channel.set_topology(
        ut_loc=torch.from_numpy(position[:, None].astype(np.float32)),
        bs_loc=torch.tensor([0.0, 0.0, twin.base_station_height]).repeat(links, 1, 1),
        ut_orientations=zeros,
        bs_orientations=zeros,
        ut_velocities=torch.from_numpy(velocity[:, None].astype(np.float32)),
        in_state=outside,
        los=twin.line_of_sight,
        **({"in_car": outside} if twin.model == "rma" else {}),
    )
    coefficient, delay = channel(twin.slots, 1 / twin.slot_duration)
    # (link, rx, rx antenna, tx, tx antenna, path, time) -> (link, path, antenna, time)
    coefficient = coefficient[:, 0, 0, 0].movedim(2, 1).numpy()
    return coefficient[:, :, from_sionna_order(twin.array)], delay[:, 0, 0].numpy()
