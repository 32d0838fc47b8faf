"""Typed parameters of a scenario: its site, users, base stations and arrays, and how its channels are made.

Units stand in the field descriptions; a value outside the stated range is refused with the name of its key.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from wavefoundry.csi.options import MOST_SLOTS, OFDM
from wavefoundry.section import (
    LARGEST_COUNT,
    Coordinate,
    Count,
    Fraction,
    NonNegative,
    NonNegativeRange,
    Positive,
    Probability,
    Section,
    Vector,
    require_ordered,
)

BuiltInScene = Literal[
    "munich", "etoile", "florence", "san_francisco", "simple_street_canyon", "simple_street_canyon_with_cars"
]
BUILT_IN_SCENES = get_args(BuiltInScene)


# How far from the origin, along an axis, users and base stations may be [m]; the ray tracer computes in single
# precision. Four houses moved as far as this still give the paths that they have at the origin; at 5 km some are found
# twice, at 10 km most, and at the 5335 km of map coordinates less than a quarter is left.
FARTHEST = 4000.0
# Along an axis of an array.
MOST_ELEMENTS = 4096


class Array(Section):
    """Base-station antenna array in the y-z plane of the base station.

    Antennas are counted polarisation by polarisation, in each row by row from the top, in a row by rising y.
    """

    rows: Annotated[int, Field(ge=1, le=MOST_ELEMENTS)] = Field(description="elements along the vertical axis")
    columns: Annotated[int, Field(ge=1, le=MOST_ELEMENTS)] = Field(
        description="elements along the horizontal axis; 1 row makes a uniform linear array"
    )
    spacing: Annotated[float, Field(ge=1e-3, le=1e3)] = Field(description="element spacing [wavelengths]")
    pattern: Literal["iso", "tr38901"] = Field(description="element pattern")
    polarisation: Literal["V", "H", "VH", "cross"] = Field(
        description="of the elements; VH and cross (slanted by 45 degrees) have two antennas at each position"
    )

    @property
    def polarisations(self) -> int:
        """Antennas at each position: 1 or 2."""
        return 2 if self.polarisation in ("VH", "cross") else 1

    @property
    def antennas(self) -> int:
        return self.polarisations * self.rows * self.columns


class BaseStation(Section):
    position: Vector = Field(description="[m]")
    orientation: Vector = Field(description="rotation around z, y, x [rad]")


class Traffic(Section):
    """Vehicles on the lanes of the streets between the buildings, pedestrians at their sides."""

    vehicles: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
    pedestrians: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
    vehicle_speed: NonNegativeRange = Field(description="[m/s]")
    pedestrian_speed: NonNegativeRange = Field(description="[m/s]")
    turn_probability: Probability = Field(description="chance that a vehicle turns at a crossing")
    vehicle_height: Positive = Field(description="height of a vehicle's antenna, on its roof, over the ground [m]")
    pedestrian_height: Positive = Field(description="height of a pedestrian's antenna over the ground [m]")
    cell_size: Positive = Field(description="resolution of the map of open ground [m]")
    clearance: NonNegative = Field(description="distance that users keep from walls [m]")
    lane_offset: NonNegative = Field(description="distance of a lane from the middle of its street, to the right [m]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        users = self.vehicles + self.pedestrians
        if users < 3:
            raise ValueError(f"vehicles + pedestrians is {users}; the three splits need at least 3 users")
        require_ordered("vehicle_speed", self.vehicle_speed)
        require_ordered("pedestrian_speed", self.pedestrian_speed)
        return self


class Sampling(Section):
    """A trajectory is seen in several windows, each a run of consecutive slots: one window is one CSI sample."""

    windows: Count = Field(description="windows per trajectory")
    window_interval: Positive = Field(description="time from window to window [s]")
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)] = Field(description="slots per window; 1 for snapshots")
    slot_duration: Positive = Field(description="[s]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window_interval < self.slots * self.slot_duration:
            raise ValueError(
                f"window_interval {self.window_interval} s is shorter than a window, "
                f"slots x slot_duration = {self.slots * self.slot_duration} s: windows would overlap"
            )
        return self


class Shares(Section):
    """Shares of the trajectories; whole trajectories, never single windows, go to one split."""

    train: NonNegative
    validation: NonNegative
    test: NonNegative

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total}, it must be 1")
        return self


class Split(Shares):
    """Shares of which none is 0."""

    train: Fraction
    validation: Fraction
    test: Fraction


class Site(Section):
    """A scene and the users in it.

    Scenarios with equal sites have the same users, at the same positions, in the same splits, whatever their carriers,
    arrays and base stations: sub-6 GHz and mmWave CSI of one position.
    """

    scene: str = Field(description="a scene of sionna-rt, or the Mitsuba XML file of an imported one")
    centre: Annotated[list[Coordinate], Field(min_length=2, max_length=2)] = Field(description="x and y [m]")
    radius: Positive = Field(description="users stay within this horizontal distance of the centre [m]")
    traffic: Traffic
    sampling: Sampling
    split: Split

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scene not in BUILT_IN_SCENES and not self.scene.endswith(".xml"):
            raise ValueError(f"scene {self.scene!r}, allowed: {', '.join(BUILT_IN_SCENES)}, or a path ending in .xml")
        return self


class ContinuousKeys(Section):
    """Paths are traced at key positions and continued between them by their Doppler, delay and angle rates."""

    kind: Literal["continuous"]
    interval: Count = Field(description="slots from key to key; the last slot of a window is always a key")


class DiscreteKeys(Section):
    """Every slot takes the paths of the nearest point of a grid (the card's "discrete" variant, for comparison)."""

    kind: Literal["discrete"]
    spacing: Positive = Field(description="of the grid [m]")


class Tracing(Section):
    max_depth: Annotated[int, Field(ge=0, le=100)] = Field(description="largest number of interactions of a path")
    samples_per_source: Count = Field(description="rays shot from the base station")
    diffuse_reflection: bool
    diffraction: bool
    vehicles_scatter: bool = Field(description="whether vehicles are moving objects of the scene")
    keys: Annotated[ContinuousKeys | DiscreteKeys, Field(discriminator="kind")]
    max_paths: Count = Field(description="strongest paths kept per link")
    users_per_call: Count = Field(description="receivers traced together; bounds memory")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.vehicles_scatter and self.keys.kind == "discrete":
            raise ValueError("vehicles_scatter must be false with discrete keys: the paths of a grid point stand still")
        return self


class RayTracedTwin(Section):
    kind: Literal["ray_traced"]
    site: Site
    carrier_frequency: Positive = Field(description="[Hz]")
    base_stations: Annotated[list[BaseStation], Field(min_length=1)]
    array: Array = Field(description="of every base station")
    tracing: Tracing

    @model_validator(mode="after")
    def _check(self) -> Self:
        reach = {"site.centre with site.radius": max(map(abs, self.site.centre)) + self.site.radius}
        for index, station in enumerate(self.base_stations):
            reach[f"base_stations.{index}.position"] = max(map(abs, station.position))
        for key, distance in reach.items():
            if distance > FARTHEST:
                raise ValueError(
                    f"{key} is {distance:.0f} m from the origin, allowed: {FARTHEST:.0f} m, for rays are traced in "
                    f"single precision; move the scene to its origin: {self.site.scene}"
                )
        return self

    @property
    def user_count(self) -> int:
        return self.site.traffic.vehicles + self.site.traffic.pedestrians

    def key_slots(self) -> list[int]:
        """Slots of a window at which paths are traced, the first and the last one among them."""
        slots, keys = self.site.sampling.slots, self.tracing.keys
        step = keys.interval if isinstance(keys, ContinuousKeys) else 1
        return [*range(0, slots - 1, step), slots - 1]


# Where the path loss models of TR 38.901 hold (Table 7.4.1-1; indoors the height of the room): horizontal distance and
# height of the user [m].
TR38901_LIMITS = {
    "umi": {"distance": (10.0, 5000.0), "user_height": (1.5, 22.5)},
    "uma": {"distance": (10.0, 5000.0), "user_height": (1.5, 22.5)},
    "rma": {"distance": (10.0, 10000.0), "user_height": (1.0, 10.0)},
    "inh": {"distance": (1.0, 150.0), "user_height": (0.5, 3.0)},
    "inf": {"distance": (1.0, 600.0), "user_height": (0.5, 10.0)},
}


class Sector(Section):
    """Users uniform over the area of a sector of 120 degrees, in the middle of which the array faces."""

    kind: Literal["sector"]
    distance: NonNegativeRange = Field(description="horizontal distance to the base station [m]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("distance", self.distance)
        return self


class Spot(Section):
    """Users uniform over a ring around a point straight ahead of the array (CSI-ALM: 20 to 50 m around 200 m)."""

    kind: Literal["spot"]
    centre_distance: Positive = Field(description="horizontal distance from the base station to the point [m]")
    radius: NonNegativeRange = Field(description="distance of users from the point [m]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("radius", self.radius)
        return self

    @property
    def distance(self) -> list[float]:
        """Smallest and largest horizontal distance to the base station [m]."""
        return [self.centre_distance - self.radius[1], self.centre_distance + self.radius[1]]


class StatisticalTwin(Section):
    """TR 38.901 drops: each user is one trajectory of constant velocity with one window."""

    kind: Literal["tr38901"]
    model: Literal["umi", "uma", "rma", "inh", "inf_sl", "inf_dl", "inf_sh", "inf_dh"]
    line_of_sight: bool
    carrier_frequency: Annotated[float, Field(ge=0.5e9, le=100e9)] = Field(description="[Hz]")
    array: Array
    base_station_height: Positive = Field(description="[m]")
    user_height: Positive = Field(description="[m]")
    users: Annotated[int, Field(ge=3, le=LARGEST_COUNT)]
    area: Annotated[Sector | Spot, Field(discriminator="kind")]
    speed: NonNegativeRange = Field(description="[m/s]")
    test_speeds: Annotated[list[NonNegative], Field(min_length=1)] | None = Field(
        description="the users of the test split take these speeds in turn [m/s]; null: they are drawn as all others"
    )
    slots: Annotated[int, Field(ge=2, le=MOST_SLOTS)]
    slot_duration: Positive = Field(description="[s]")
    users_per_call: Count = Field(
        description="users drawn together; part of the result, because the generator is batched"
    )
    split: Split

    @property
    def user_count(self) -> int:
        return self.users

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("speed", self.speed)
        limits = TR38901_LIMITS[self.model.split("_")[0]]
        for name, found in (("distance", self.area.distance), ("user_height", [self.user_height])):
            low, high = limits[name]
            if min(found) < low or max(found) > high:
                raise ValueError(f"{name} {found} m: TR 38.901 {self.model} holds from {low:g} to {high:g} m")
        return self


class Scenario(Section):
    twin: Annotated[RayTracedTwin | StatisticalTwin, Field(discriminator="kind")]
    ofdm: OFDM

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, antenna, subcarrier) of one CSI sample."""
        slots = self.twin.site.sampling.slots if isinstance(self.twin, RayTracedTwin) else self.twin.slots
        return slots, self.array.antennas, self.ofdm.subcarriers

    @property
    def array(self) -> Array:
        return self.twin.array
