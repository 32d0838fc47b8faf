"""Typed parameters of imported data: what a file does not say of itself is stated here, nothing is guessed.

Units stand in the field descriptions; a value outside the stated range is refused with the name of its key.
"""

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.csi.options import MOST_SLOTS, MOST_SUBCARRIERS, OFDM
from wavefoundry.section import LARGEST_COUNT, Count, NonNegativeRange, Positive, Section, Vector, require_ordered
from wavefoundry.twin.options import Array, RayTracedTwin, Shares, Split

Number = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Files = Annotated[str, Field(min_length=1, description="file or folder of the data, a dependency of the stage")]
# Axes of an array in a file. Several sample axes count as one, the last the fastest. Antennas are one axis in the order
# of wavefoundry's arrays, or up to three. Real and imaginary part may be an axis, called complex.
# The antennas of a user are samples of their own, with one trajectory.
Axis = Literal["sample", "receive_antenna", "time", "antenna", "polarisation", "row", "column", "subcarrier", "complex"]
ANTENNA_AXES = ("polarisation", "row", "column")
SAMPLE_AXES = ("sample", "receive_antenna")
# Kinds of files by the end of their names; other names tell nothing.
KIND_OF_SUFFIX = {".mat": "mat", ".npz": "npz", ".npy": "npy", ".zarr": "zarr", ".zip": "zarr"}
# Kinds of which a file may be one array without a name.
NAMELESS = ("npy", "zarr")

Name = Annotated[str, Field(min_length=1)]


class FileBlock(Section):
    """An array in a file that holds a part of the slots and subcarriers of all samples."""

    file: str | None = Field(description="name in the folder `files`; null: `files` is the file")
    variable: Name | None = Field(
        description="of a MATLAB file, an npz file or a zarr group; null: the file is one array (npy, zarr)"
    )
    imaginary: Name | None = Field(
        description="variable beside it that holds the imaginary part; null: `variable` holds both parts"
    )
    slot: Number = Field(description="slot of the sample at which the array begins")
    subcarrier: Number = Field(description="subcarrier of the sample at which the array begins")


class ImportedArrays(Section):
    """CSI in MATLAB files (v5 and v7.3), npz and npy files or zarr stores (folders or zip files)."""

    kind: Literal["mat", "npz", "npy", "zarr"]
    files: Files
    blocks: dict[Literal["train", "validation", "test", "any"], Annotated[list[FileBlock], Field(min_length=1)]] = (
        Field(description="arrays of the samples of each split; `any`: of samples that `split` divides")
    )
    split: Shares | None = Field(description="of the samples of `any`; null where there are none")
    axes: list[Axis] = Field(description="of every array, in the order of MATLAB's or Python's indices")
    trajectory: str | None = Field(
        description="array beside the first block that numbers the trajectory of each sample; null: each is its own. "
        "Each entry of blocks numbers its own: 5 of train and 5 of test are two users"
    )
    speed: NonNegativeRange | None = Field(
        description="of the user, rising evenly from the first to the last index of the first sample axis [m/s]"
    )
    blocked: Literal["refuse", "drop"] = Field(
        description="what becomes of samples without a path, which are 0 or NaN throughout"
    )
    unknown_is_zero: bool = Field(description="whether slots and subcarriers that no block holds are 0, or refused")
    carrier_frequency: Positive = Field(description="[Hz], of subcarrier number subcarriers // 2")
    array: Array = Field(description="of the base station")
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)]
    slot_duration: Positive = Field(description="[s]")
    subcarriers: Annotated[int, Field(ge=2, le=MOST_SUBCARRIERS)]
    subcarrier_spacing: Positive = Field(description="distance of neighbouring subcarriers in the data [Hz]")
    samples_per_call: Count = Field(description="samples read together; bounds memory (MATLAB v5 and npz: no bound)")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.blocks:
            raise ValueError("blocks is empty, allowed: train, validation, test, any")
        if ("any" in self.blocks) != (self.split is not None):
            raise ValueError("split divides the samples of blocks.any: both are there, or split is null")
        self._check_axes()
        if self.speed is not None:
            require_ordered("speed", self.speed)
        for name, blocks in self.blocks.items():
            for block in blocks:
                self._check_place(name, block)
                if block.slot >= self.slots or block.subcarrier >= self.subcarriers:
                    raise ValueError(
                        f"blocks.{name}: {block.variable or block.file!r} begins at slot {block.slot}, subcarrier "
                        f"{block.subcarrier}, outside of the {self.slots} slots and {self.subcarriers} subcarriers"
                    )
        self._check_samples()
        if self.trajectory is not None and any(blocks[0].variable is None for blocks in self.blocks.values()):
            raise ValueError(
                f"trajectory is {self.trajectory!r}, a variable beside the first block, but the block is a file of one "
                "array (variable: null); allowed: null, or a file with both (kind: npz)"
            )
        return self

    def _check_place(self, name: str, block: FileBlock) -> None:
        """Refuse what the names of files and variables tell already."""
        if block.file is not None and _leads_out(PurePath(block.file)):
            raise ValueError(
                f"blocks.{name}: file is {block.file!r}, allowed: a name or path inside the folder `files`, "
                f"{self.files!r}, whose changes alone are noticed; not an absolute path, and no .. in it"
            )
        if block.file is not None and (suffix := PurePath(self.files).suffix) in KIND_OF_SUFFIX:
            raise ValueError(
                f"blocks.{name}: file is {block.file!r}, a name in the folder `files`, but files is {self.files!r}, a "
                f"{suffix} itself; allowed: file: null, or files: the folder that holds {block.file!r}"
            )
        path = self.files if block.file is None else block.file
        if KIND_OF_SUFFIX.get(suffix := PurePath(path).suffix, self.kind) != self.kind:
            key = "files" if block.file is None else f"blocks.{name}: file"
            raise ValueError(
                f"{key} is {path!r}, but kind is {self.kind}; a name in {suffix} needs kind: {KIND_OF_SUFFIX[suffix]}"
            )
        if self.kind == "npy" and block.variable is not None:
            raise ValueError(
                f"blocks.{name}: variable is {block.variable!r}, but an npy file holds one array without a name; "
                "allowed: null"
            )
        if block.variable is None and self.kind not in NAMELESS:
            raise ValueError(
                f"blocks.{name}: variable is null, allowed for {' and '.join(NAMELESS)}; name the variable of the file"
            )
        if block.imaginary is not None and block.variable is None:
            raise ValueError(
                f"blocks.{name}: imaginary is {block.imaginary!r}, a variable beside `variable`, which is null"
            )
        if block.imaginary is not None and block.imaginary == block.variable:
            raise ValueError(
                f"blocks.{name}: imaginary is {block.imaginary!r} as variable is; allowed: another variable, or null "
                "where one holds both parts"
            )

    def _check_samples(self) -> None:
        """Refuse an array in two splits: the same samples would be learnt from and tested on."""
        known: dict[tuple[PurePath | None, str | None], str] = {}
        for name, blocks in self.blocks.items():
            for block in blocks:
                place = None if block.file is None else PurePath(block.file), block.variable
                if known.setdefault(place, name) != name:
                    raise ValueError(
                        f"blocks.{name}: variable {block.variable!r} of file {block.file!r} is in "
                        f"blocks.{known[place]} already; allowed: one of them, or blocks.any, which split divides"
                    )

    def _check_axes(self) -> None:
        for axis in set(self.axes) - {"sample"}:
            if self.axes.count(axis) > 1:
                raise ValueError(f"axes {self.axes}: {axis} is there {self.axes.count(axis)} times")
        for required in ("sample", "time", "subcarrier"):
            if required not in self.axes and not (required == "time" and self.slots == 1):
                raise ValueError(f"axes {self.axes}: {required} is missing")
        parts = [axis for axis in ANTENNA_AXES if axis in self.axes]
        if ("antenna" in self.axes) == bool(parts):
            raise ValueError(f"axes {self.axes}: name either antenna or its parts, {', '.join(ANTENNA_AXES)}")
        for part, size in zip(ANTENNA_AXES, self.antenna_grid, strict=True):
            if parts and part not in parts and size > 1:
                raise ValueError(f"axes {self.axes}: {part} is missing, the array has {size} of them")

    @property
    def antenna_grid(self) -> tuple[int, int, int]:
        """(polarisations, rows, columns) of the array."""
        return self.array.polarisations, self.array.rows, self.array.columns

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, antenna, subcarrier) of one CSI sample."""
        return self.slots, self.array.antennas, self.subcarriers


class ImportedDeepMIMO(Section):
    """Paths of a DeepMIMO v4 scenario folder; their Doppler shifts come from a motion that is stated here.

    The receivers of a scenario stand still: each user drawn moves at a constant velocity for one window.
    """

    kind: Literal["deepmimo"]
    files: Files
    transmitters: Number = Field(description="id of the set whose points are base stations")
    receivers: Number = Field(description="id of the set whose points are users")
    carrier_frequency: Positive = Field(description="[Hz]")
    carrier_phase: bool = Field(
        description="whether the phases of the paths hold the phase of propagation, -2 pi carrier_frequency delay "
        "(Wireless InSite: true; sionna-rt: false, it is added)"
    )
    array: Array = Field(description="of every base station; the data hold one polarisation of an isotropic element")
    orientation: Vector = Field(description="of every base station, rotation around z, y, x [rad]")
    users: Annotated[int, Field(ge=3, le=LARGEST_COUNT)] = Field(
        description="drawn from the receivers that a path reaches"
    )
    speed: NonNegativeRange = Field(description="of the users, in horizontal directions drawn uniformly [m/s]")
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)]
    slot_duration: Positive = Field(description="[s]")
    max_paths: Count = Field(description="strongest paths kept per link")
    split: Split
    ofdm: OFDM

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_ordered("speed", self.speed)
        if self.array.polarisation != "V" or self.array.pattern != "iso":
            raise ValueError(
                f"array has pattern {self.array.pattern} and polarisation {self.array.polarisation}, allowed: iso and V"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, antenna, subcarrier) of one CSI sample."""
        return self.slots, self.array.antennas, self.ofdm.subcarriers


class ImportedScene(Section):
    """A Mitsuba scene of one's own; all else is as in a generated scenario."""

    kind: Literal["scene"]
    files: Files
    twin: RayTracedTwin
    ofdm: OFDM

    @model_validator(mode="after")
    def _check(self) -> Self:
        scene, files = PurePath(self.twin.site.scene), PurePath(self.files)
        if not scene.is_relative_to(files) or _leads_out(scene.relative_to(files)):
            raise ValueError(
                f"twin.site.scene {self.twin.site.scene!r} must lie in files, {self.files!r}, without .. on the way"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, antenna, subcarrier) of one CSI sample."""
        return self.twin.site.sampling.slots, self.array.antennas, self.ofdm.subcarriers

    @property
    def array(self) -> Array:
        return self.twin.array


def _leads_out(path: PurePath) -> bool:
    """Whether a path, taken from a folder, can name something outside of it."""
    return path.is_absolute() or ".." in path.parts


Imported = ImportedArrays | ImportedDeepMIMO | ImportedScene
