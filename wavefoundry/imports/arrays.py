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
from wavefoundry.imports.files import StoredArray, open_array
from wavefoundry.imports.options import ANTENNA_AXES, FileBlock, ImportedArrays
from wavefoundry.twin.dataset import describe, sample_coordinates, signal_attributes

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class _Source:
    """The blocks of one group of samples.

    Attributes:
        blocks: where each block begins in the sample, and its array, axes padded to those of the section.
        first: number of the group's first sample.
        lengths: sizes of the sample axes.
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
        sight are unknown, the speed is there where it is stated.

    Raises:
        InputError: a file or variable is missing, sizes or the carrier disagree with the section, blocks overlap or
            leave out slots or subcarriers, a split is empty, or a sample is NaN, infinite or zero throughout.
    """
    with ExitStack() as files:
        sources = _sources(section, seed, files)
        present = np.unique(np.concatenate([source.split for source in sources]))
        for code, name in enumerate(SPLITS):
            if code not in present:
                raise InputError(f"{section.files}: no sample for the split {name}; see blocks and split")
        for source in sources:
            samples = int(np.prod(source.lengths[1:]))
            step = max(1, section.samples_per_call // samples)
            for start in range(0, source.lengths[0], step):
                yield _part(section, source, slice(start, min(start + step, source.lengths[0])), seed)


def _sources(section: ImportedArrays, seed: int, files: ExitStack) -> list[_Source]:
    generator = np.random.default_rng(seed)
    sources, samples, trajectories = [], 0, 0
    for name, blocks in section.blocks.items():
        opened = [(block, files.enter_context(open_array(section.kind, *_place(section, block)))) for block in blocks]
        opened = [(block, _checked(section, block, array)) for block, array in opened]
        _require_tiling(section, name, opened)
        lengths = _sample_lengths(section, opened)
        trajectory = trajectories + _trajectories(section, blocks[0], lengths)
        split = _splits(section, name, trajectory, generator)
        sources.append(_Source(opened, samples, lengths, split, trajectory))
        samples, trajectories = samples + len(trajectory), int(trajectory.max()) + 1
    return sources


def _place(section: ImportedArrays, block: FileBlock) -> tuple[Path, str]:
    files = Path(section.files)
    return (files if block.file is None else files / block.file), block.variable


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
    most = {"time": section.slots - block.slot, "subcarrier": section.subcarriers - block.subcarrier, "sample": np.inf}
    fits = len(shape) == len(section.axes) and all(
        0 < size <= most[axis] if axis in most else size == expected[axis]
        for axis, size in zip(section.axes, shape, strict=True)
    )
    if not fits:
        sizes = [
            "sample"
            if axis == "sample"
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
        slice(block.slot, block.slot + sizes["time"]),
        slice(block.subcarrier, block.subcarrier + sizes["subcarrier"]),
    )


def _sample_lengths(section: ImportedArrays, blocks: list[tuple[FileBlock, StoredArray]]) -> tuple[int, ...]:
    found = [
        tuple(size for axis, size in zip(section.axes, array.shape, strict=True) if axis == "sample")
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
    """(sample,) int32, the trajectories of a group of samples, counted from 0."""
    samples = int(np.prod(lengths))
    if section.trajectory is None:
        return np.arange(samples, dtype=np.int32)
    with open_array(section.kind, _place(section, block)[0], section.trajectory) as array:
        if math.prod(array.shape) != samples:
            raise InputError(
                f"{array.name} has {math.prod(array.shape)} values, expected one for each of {samples} samples"
            )
        values = np.ravel(array.read(0, slice(None)))
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


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
    _require_sound(source, csi, rows)
    return _dataset(section, csi, source, indices, rows, seed)


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
    antennas = ["antenna"] if "antenna" in axes else [axis for axis in ANTENNA_AXES if axis in axes]
    order = [index for index, axis in enumerate(axes) if axis == "sample"]
    order += [axes.index(axis) for axis in ("time", *antennas, "subcarrier")]
    values = values.transpose(order)
    return values.reshape(-1, values.shape[axes.count("sample")], section.array.antennas, values.shape[-1])


def _require_sound(source: _Source, csi: np.ndarray, rows: slice) -> None:
    flat = csi.reshape(len(csi), -1)
    faults = (("NaN or infinite values", ~np.isfinite(flat).all(1)), ("only zeros", ~flat.any(1)))
    for what, bad in faults:
        if bad.any():
            names = " and ".join(array.name for _, array in source.blocks)
            raise InputError(f"{names}: sample {rows.start + int(np.argmax(bad))} has {what}")


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
