"""The contract of a store (docs/data-contract.md): variables, dimensions, attributes, and what may follow what."""

import math
import numbers
from collections.abc import Collection, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from storage.errors import StorageError

SCHEMA_VERSION = 2
SPLITS = ("train", "validation", "test")

# The main variable of each kind of store and its dimensions.
KINDS = {
    "paths": ("delay", ("sample", "key", "path")),
    "csi": ("csi", ("sample", "time", "antenna", "subcarrier")),
    "angle_delay": ("csi", ("sample", "time", "angle", "delay")),
}
# What stores know of each sample, with its dimensions.
SAMPLE_VARIABLES = {
    "position": ("sample", "time", "xyz"),
    "velocity": ("sample", "time", "xyz"),
    "speed": ("sample",),
    "los": ("sample",),
    "split": ("sample",),
    "trajectory": ("sample",),
}
# What imported CSI need not know of its samples.
OPTIONAL_VARIABLES = ("position", "velocity", "speed", "los")
# What only one kind needs besides.
OWN_VARIABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "paths": {"valid": ("sample", "key", "path"), "key_time": ("key",), "base_station": ("sample",)},
    "csi": {},
    "angle_delay": {"scale": ("sample",), "energy_kept": ("sample",)},
}
# A store of paths follows one of these: paths with directions, or TR 38.901's coefficients of each antenna and slot.
PATH_VARIABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "amplitude": {
        "amplitude": ("sample", "key", "path", "polarisation"),
        "doppler": ("sample", "key", "path"),
        "zenith": ("sample", "key", "path"),
        "azimuth": ("sample", "key", "path"),
    },
    "coefficient": {"coefficient": ("sample", "path", "antenna", "time")},
}
COMPLEX_VARIABLES = ("csi", "amplitude", "coefficient")
WHOLE_VARIABLES = ("split", "trajectory")
# Attributes of the array: how many rows and columns of antennas it has.
GRID = ("array_rows", "array_columns")
# Attributes that tell where the samples come from; all others describe the signal and are the same for all samples.
PROVENANCE = ("generator", "generator_version", "seed", "parameters", "windows_total")
# Provenance of samples that were appended from elsewhere, one entry for each source.
APPENDED = "appended"


def require_kind(path: Path, kind: str) -> None:
    if kind not in KINDS:
        raise StorageError(f"{path}: no kind of store is called {kind!r}; there are {', '.join(KINDS)}")


def required_variables(path: Path, kind: str, present: Collection[Hashable]) -> dict[str, tuple[str, ...]]:
    """Variables of a store of this kind and their dimensions, of which `present` are there.

    Raises:
        StorageError: one that every such store needs is not.
    """
    name, dimensions = KINDS[kind]
    expected = {name: dimensions, **SAMPLE_VARIABLES, **OWN_VARIABLES[kind]}
    if kind == "paths":
        forms = [form for form in PATH_VARIABLES if form in present]
        if len(forms) != 1:
            raise StorageError(f"{path}: a paths store needs one of the variables {' and '.join(PATH_VARIABLES)}")
        expected |= PATH_VARIABLES[forms[0]]
    else:
        expected = {name: axes for name, axes in expected.items() if name in present or name not in OPTIONAL_VARIABLES}
    for variable in expected:
        if variable not in present:
            raise StorageError(f"{path}: variable {variable!r} is missing; a {kind} store needs it")
    return expected


def require_schema(path: Path, dataset: xr.Dataset, kind: str) -> None:
    """Refuse a data set without the variables, dimensions and attributes of its kind."""
    for variable, axes in required_variables(path, kind, dataset.variables).items():
        if dataset[variable].dims != axes:
            raise StorageError(f"{path}: {variable!r} has dimensions {dataset[variable].dims}, expected {axes}")
    for variable in COMPLEX_VARIABLES:
        if variable in dataset.variables and dataset[variable].dtype != np.complex64:
            raise StorageError(f"{path}: {variable!r} is {dataset[variable].dtype}, expected complex64")
    for variable in WHOLE_VARIABLES:
        if dataset[variable].dtype.kind not in "iu":
            raise StorageError(f"{path}: {variable!r} is {dataset[variable].dtype}, expected whole numbers")
    _require_attributes(path, dataset)
    for name, values in dataset.variables.items():
        if values.dtype.kind not in "biufc":
            raise StorageError(f"{path}: variable {name!r} is {values.dtype}; only numbers are stored")
        for attribute in ("units", "long_name"):
            if attribute not in values.attrs:
                raise StorageError(f"{path}: variable {name!r} has no attribute {attribute!r}")


def _require_attributes(path: Path, dataset: xr.Dataset) -> None:
    """Refuse an array that the antennas do not make up, and sources that are none; all may be missing."""
    attributes = plain_attributes(dataset.attrs)
    grid = [attributes[name] for name in GRID if name in attributes]
    if grid and (len(grid) < len(GRID) or not all(type(count) is int and count > 0 for count in grid)):
        found = ", ".join(f"{name} {attributes.get(name, 'missing')!r}" for name in GRID)
        raise StorageError(f"{path}: attributes {found}; allowed: whole numbers above 0")
    for axis in {"antenna", "angle"} & set(dataset.sizes) if grid else ():
        if dataset.sizes[axis] % math.prod(grid):
            raise StorageError(
                f"{path}: attributes {GRID[0]} {grid[0]}, {GRID[1]} {grid[1]} do not divide the size of {axis!r}, "
                f"{dataset.sizes[axis]}"
            )
    sources = attributes.get(APPENDED, [])
    if not isinstance(sources, list) or not all(isinstance(source, dict) for source in sources):
        raise StorageError(
            f"{path}: attribute {APPENDED!r} is {sources!r}, expected a list with a mapping for each source of samples"
        )


def require_agreement(path: Path, known: xr.Dataset, part: xr.Dataset) -> None:
    """Refuse samples that are not of the same signal as those already there; the message names what differs."""

    def differs(what: str, found, expected) -> StorageError:
        return StorageError(f"{path}: {what} of the new samples is {found}, of the samples before {expected}")

    if set(part.variables) != set(known.variables):
        odd = sorted(map(str, set(part.variables) ^ set(known.variables)))
        raise StorageError(f"{path}: {', '.join(map(repr, odd))} only in the new samples or in those before")
    for name, before in known.variables.items():
        after = part.variables[name]
        if after.dims != before.dims:
            raise differs(f"dimensions of {name!r}", after.dims, before.dims)
        sizes = [{axis: n for axis, n in values.sizes.items() if axis != "sample"} for values in (after, before)]
        if sizes[0] != sizes[1]:
            raise differs(f"size of {name!r}", *sizes)
        if after.dtype != before.dtype:
            raise differs(f"type of {name!r}", after.dtype, before.dtype)
        if after.attrs["units"] != before.attrs["units"]:
            raise differs(f"unit of {name!r}", after.attrs["units"], before.attrs["units"])
        if "sample" not in before.dims and not np.array_equal(after.values, before.values):
            raise StorageError(f"{path}: coordinate {name!r} of the new samples is not that of the samples before")
    signals = [_signal(plain_attributes(dataset.attrs)) for dataset in (part, known)]
    for name in sorted(signals[0].keys() | signals[1].keys()):
        found, expected = (signal.get(name, "missing") for signal in signals)
        if found != expected:
            raise differs(f"attribute {name!r}", found, expected)


def plain_attributes(attributes: dict) -> dict:
    """Attributes as JSON gives them back."""

    def plain(value):
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in attributes.items()}


def provenances(attributes: dict) -> list[dict]:
    """Where the samples of a store come from, the first source first."""
    first = {name: attributes[name] for name in PROVENANCE if name in attributes}
    return [first, *attributes.get(APPENDED, [])]


def windows_total(attributes: dict) -> int | None:
    """Number of windows simulated, reached by a path or not; None where a source does not tell."""
    counts: list[Any] = [source.get("windows_total") for source in provenances(attributes)]
    return sum(counts) if all(isinstance(count, numbers.Integral) for count in counts) else None


def _signal(attributes: dict) -> dict:
    return {
        name: value
        for name, value in attributes.items()
        if name not in (*PROVENANCE, APPENDED, "schema", "schema_version")
    }
