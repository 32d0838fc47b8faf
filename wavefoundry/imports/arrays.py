"""CSI from arrays in files: axes in our order, blocks joined, samples divided into splits, faults named."""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from wavefoundry.csi.path_response import subcarrier_offsets
from wavefoundry.errors import InputError
from wavefoundry.imports.files import StoredArray, joined, open_array
from wavefoundry.imports.options import ANTENNA_AXES, SAMPLE_AXES, FileBlock, ImportedArrays
from wavefoundry.twin.dataset import describe, sample_coordinates, signal_attributes

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class _Source:
    """The blocks of one group of samples.

    Attributes:
        blocks: where each block begins in the sample, and its array, axes padded to those of the section.
        first: number of the group's first sample.
        lengths: sizes of the sample axes, the antennas of a user last.
        split: (sample,) int8 codes into SPLITS.
        trajectory: (sample,) int32.
    """

    blocks: list[tuple[FileBlock, StoredArray]]
    first: int
    lengths: tuple[int, ...]
    split: np.ndarray
    trajectory: np.ndarray


def read_arrays(section: ImportedArrays, seed: int) -> Iterator[xr.Dataset]:
    """Read imported CSI part by part.

    Args:
        section: files, axes and what they do not say.
        seed: of the division of `blocks.any` into splits.

    Yields:
        Data sets of kind "csi" (docs/data-contract.md), `samples_per_call` samples or fewer where an index of the first
        sample axis holds no more. `split` has the codes 0 train, 1 validation, 2 test. Position, velocity and line of
        sight are unknown, the speed is there where it is stated. Where samples without a path are left out,
        `windows_total` is the number of samples in the files.

    Raises:
        InputError: a file or variable is missing, sizes or the carrier disagree with the section, blocks overlap or
            leave out slots or subcarriers, a split is empty, a value is infinite, or NaN in a sample that is not NaN or
            zero throughout, or one is that and `blocked` refuses it.
    """
    with ExitStack() as files:
        sources = _sources(section, seed, files)
        _require_splits(section, np.concatenate([source.split for source in sources]), "see blocks and split")
        total = sum(len(source.split) for source in sources)
        kept = []
        for source in sources:
            samples = int(np.prod(source.lengths[1:]))
            step = max(1, section.samples_per_call // samples)
            for start in range(0, source.lengths[0], step):
                part = _part(section, source, slice(start, min(start + step, source.lengths[0])), seed)
                if section.blocked == "drop":
                    part = part.assign_attrs(windows_total=total)
                if part.sizes["sample"]:
                    kept.append(part["split"].values)
                    yield part
        left = np.concatenate(kept) if kept else np.zeros(0, np.int8)
        _require_splits(section, left, f"{total - len(left)} of {total} samples have no path and are left out")


def _require_splits(section: ImportedArrays, codes: np.ndarray, why: str) -> None:
    for code, name in enumerate(SPLITS):
        if code not in codes:
            raise InputError(f"{section.files}: no sample for the split {name}; {why}")


def _sources(section: ImportedArrays, seed: int, files: ExitStack) -> list[_Source]:
    generator = np.random.default_rng(seed)
    sources, samples, trajectories = [], 0, 0
    for name, blocks in section.blocks.items():
        opened = [(block, _open(section, block, files)) for block in blocks]
        opened = [(block, _checked(section, block, array)) for block, array in opened]
        _require_tiling(section, name, opened)
        lengths = _sample_lengths(section, opened)
        trajectory = trajectories + _trajectories(section, blocks[0], lengths)
        split = _splits(section, name, trajectory, generator)
        sources.append(_Source(opened, samples, lengths, split, trajectory))
        samples, trajectories = samples + len(trajectory), int(trajectory.max()) + 1
    return sources


def _open(section: ImportedArrays, block: FileBlock, files: ExitStack) -> StoredArray:
    path = _place(section, block)
    array = files.enter_context(open_array(section.kind, path, block.variable))
    if block.imaginary is None:
        return array
    return joined(array, files.enter_context(open_array(section.kind, path, block.imaginary)))


def _place(section: ImportedArrays, block: FileBlock) -> Path:
    files = Path(section.files)
    return files if block.file is None else files / block.file


def _checked(section: ImportedArrays, block: FileBlock, array: StoredArray) -> StoredArray:
    """`array` with as many axes as `section.axes`, after its sizes, numbers and carrier were checked."""
    shape = array.shape
    if section.kind == "mat":
        # MATLAB drops axes of size 1 at the end.
        shape = (*shape, *[1] * (len(section.axes) - len(shape)))
    expected = {
        "antenna": section.array.antennas,
        "complex": 2,
        **dict(zip(ANTENNA_AXES, section.antenna_grid, strict=True)),
    }
    most: dict[str, float] = dict.fromkeys(SAMPLE_AXES, math.inf)
    most |= {"time": section.slots - block.slot, "subcarrier": section.subcarriers - block.subcarrier}
    fits = len(shape) == len(section.axes) and all(
        0 < size <= most[axis] if axis in most else size == expected[axis]
        for axis, size in zip(section.axes, shape, strict=True)
    )
    if not fits:
        sizes = [
            axis
            if axis in SAMPLE_AXES
            else f"{axis} up to {most[axis]}"
            if axis in most
            else f"{axis} {expected[axis]}"
            for axis in section.axes
        ]
        raise InputError(
            f"{array.name} has shape {' x '.join(map(str, array.shape))}, which does not fit axes: {', '.join(sizes)}"
        )
    if array.complex == ("complex" in section.axes):
        found, remedy = ("complex", "axes must not name") if array.complex else ("real", "axes must name")
        raise InputError(f"{array.name} holds {found} numbers; {remedy} an axis complex for real and imaginary part")
    stated, carrier = section.carrier_frequency, array.carrier_frequency
    if carrier is not None and not np.isclose(carrier, stated, rtol=1e-6):
        raise InputError(f"{array.name}: its file has carrier_frequency {carrier:g} Hz, the parameters {stated:g} Hz")

    def read(axis: int, part: slice) -> np.ndarray:
        # An axis that was dropped has one index, and that is asked for.
        return array.read(axis, part) if axis < len(array.shape) else array.read(0, slice(None))

    return StoredArray(array.name, shape, array.complex, read)


def _require_tiling(section: ImportedArrays, name: str, blocks: list[tuple[FileBlock, StoredArray]]) -> None:
    held = np.zeros((section.slots, section.subcarriers), np.int32)
    for block, array in blocks:
        held[_region(section, block, array)] += 1
    if held.max() > 1:
        raise InputError(f"blocks.{name}: blocks overlap at slot, subcarrier {np.argwhere(held > 1)[0].tolist()}")
    if held.min() == 0 and not section.unknown_is_zero:
        raise InputError(
            f"blocks.{name}: no block holds slot, subcarrier {np.argwhere(held == 0)[0].tolist()} of the "
            f"{section.slots} x {section.subcarriers} (set unknown_is_zero to take it as 0)"
        )


def _region(section: ImportedArrays, block: FileBlock, array: StoredArray) -> tuple[slice, slice]:
    """Slots and subcarriers of the sample that a block holds."""
    sizes = dict(zip(section.axes, array.shape, strict=True))
    return (
        slice(block.slot, block.slot + sizes.get("time", 1)),
        slice(block.subcarrier, block.subcarrier + sizes["subcarrier"]),
    )


def _sample_lengths(section: ImportedArrays, blocks: list[tuple[FileBlock, StoredArray]]) -> tuple[int, ...]:
    found = [
        tuple(
            size for kind in SAMPLE_AXES for axis, size in zip(section.axes, array.shape, strict=True) if axis == kind
        )
        for _, array in blocks
    ]
    for (_, array), lengths in zip(blocks, found, strict=True):
        if lengths != found[0]:
            raise InputError(
                f"{array.name} has {' x '.join(map(str, lengths))} samples, {blocks[0][1].name} "
                f"{' x '.join(map(str, found[0]))}"
            )
    return found[0]


def _trajectories(section: ImportedArrays, block: FileBlock, lengths: tuple[int, ...]) -> np.ndarray:
    """(sample,) int32, the trajectories of a group of samples, counted from 0; antennas of a user share one.

    Raises:
        InputError: the array that numbers them has another size, or values that are not finite real numbers.
    """
    antennas = lengths[-1] if "receive_antenna" in section.axes else 1
    users = int(np.prod(lengths)) // antennas
    if section.trajectory is None:
        return np.arange(users, dtype=np.int32).repeat(antennas)
    with open_array(section.kind, _place(section, block), section.trajectory) as array:
        if math.prod(array.shape) != users:
            of_each = " (not of each receive antenna)" if antennas > 1 else ""
            raise InputError(
                f"{array.name} has {math.prod(array.shape)} values, expected one for each of {users} samples{of_each}"
            )
        values = np.ravel(array.read(0, slice(None)))
        if array.complex or not np.isfinite(values).all():
            raise InputError(f"{array.name} has complex, NaN or infinite values, expected a number for each trajectory")
    return np.unique(values, return_inverse=True)[1].astype(np.int32).repeat(antennas)


def _splits(section: ImportedArrays, name: str, trajectory: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(sample,) int8 codes into SPLITS."""
    if name != "any":
        return np.full(len(trajectory), SPLITS.index(name), np.int8)
    first, count = trajectory.min(), len(np.unique(trajectory))
    assert section.split is not None  # as the options require where there are samples of `any`
    shares = [section.split.train, section.split.validation, section.split.test]
    bounds = np.round(np.cumsum(shares) * count).astype(int)
    codes = np.searchsorted(bounds, np.arange(count), side="right").astype(np.int8)
    return generator.permutation(codes)[trajectory - first]


def _part(section: ImportedArrays, source: _Source, indices: slice, seed: int) -> xr.Dataset:
    """The samples of some indices of the first sample axis."""
    inner = int(np.prod(source.lengths[1:]))
    rows = slice(indices.start * inner, indices.stop * inner)
    csi = np.zeros(((indices.stop - indices.start) * inner, *section.shape), np.complex64)
    for block, array in source.blocks:
        slots, subcarriers = _region(section, block, array)
        with np.errstate(over="ignore"):
            csi[:, slots, :, subcarriers] = _arranged(section, array, indices)
    blocked = (np.isnan(csi) | (csi == 0)).all((1, 2, 3))
    _require_sound(section, source, csi, blocked, rows.start)
    return _dataset(section, csi, source, indices, rows, seed).isel(sample=~blocked)


def _arranged(section: ImportedArrays, array: StoredArray, indices: slice) -> np.ndarray:
    """Values (sample, time, antenna, subcarrier) of some indices of the first sample axis."""
    axes = list(section.axes)
    first = axes.index("sample")
    values = array.read(first, indices)
    values = values.reshape([*array.shape[:first], indices.stop - indices.start, *array.shape[first + 1 :]])
    if "complex" in axes:
        values = np.moveaxis(values, axes.index("complex"), 0)
        values = values[0] + 1j * values[1]
        axes.remove("complex")
    if "time" not in axes:
        axes.append("time")
        values = values[..., None]
    antennas = ["antenna"] if "antenna" in axes else [axis for axis in ANTENNA_AXES if axis in axes]
    samples = [index for kind in SAMPLE_AXES for index, axis in enumerate(axes) if axis == kind]
    values = values.transpose(samples + [axes.index(axis) for axis in ("time", *antennas, "subcarrier")])
    return values.reshape(-1, values.shape[len(samples)], section.array.antennas, values.shape[-1])


def _require_sound(section: ImportedArrays, source: _Source, csi: np.ndarray, blocked: np.ndarray, first: int) -> None:
    """Refuse values that are not finite, but for samples without a path where those are left out."""
    faults = [("NaN or infinite values", ~np.isfinite(csi).all((1, 2, 3)) & ~blocked)]
    if section.blocked == "refuse":
        faults.append(("only zeros or NaN: no path (blocked: drop leaves such samples out)", blocked))
    for what, bad in faults:
        if bad.any():
            names = " and ".join(array.name for _, array in source.blocks)
            raise InputError(f"{names}: sample {first + int(np.argmax(bad))} has {what}")


def _dataset(
    section: ImportedArrays, csi: np.ndarray, source: _Source, indices: slice, rows: slice, seed: int
) -> xr.Dataset:
    variables = {
        "csi": (
            ("sample", "time", "antenna", "subcarrier"),
            csi,
            describe("1", "channel frequency response, base station to user"),
        ),
        "trajectory": (("sample",), source.trajectory[rows], describe("1", "index of the user")),
        "split": (("sample",), source.split[rows], describe("1", "split of the sample's trajectory")),
    }
    if section.speed is not None:
        low, high = section.speed
        speed = np.linspace(low, high, source.lengths[0])[indices].repeat(len(csi) // (indices.stop - indices.start))
        variables["speed"] = (("sample",), speed, describe("m s-1", "speed of the user"))
    coordinates = sample_coordinates(np.arange(section.slots) * section.slot_duration, section.array) | {
        "subcarrier": (
            ("subcarrier",),
            subcarrier_offsets(section),
            describe("Hz", "offset of the subcarrier from the carrier frequency"),
        )
    }
    attributes = signal_attributes(section.carrier_frequency, section.array) | {
        "bandwidth": section.subcarriers * section.subcarrier_spacing,
        "generator": f"import of {section.kind}",
        "generator_version": "unknown",
        "seed": seed,
        "parameters": json.dumps(section.model_dump(), sort_keys=True),
    }
    return xr.Dataset(variables, coordinates, attributes)
