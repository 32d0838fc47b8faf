"""Stores of path parameters, CSI and angle-delay maps: xarray Datasets on sharded zarr v3 (docs/data-contract.md).

The same data give the same bytes: no clock time, host or path is written. A store appears under its name only when it
is complete.
"""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from storage.errors import StorageError

SCHEMA_VERSION = 1
SPLITS = ("train", "validation", "test")

# The main variable of each kind of store and its dimensions.
KINDS = {
    "paths": ("delay", ("sample", "path")),
    "csi": ("csi", ("sample", "time", "antenna", "subcarrier")),
    "angle_delay": ("csi", ("sample", "time", "angle", "delay")),
}
# What every kind knows of each sample, with its dimensions.
SAMPLE_VARIABLES = {
    "position": ("sample", "time", "xyz"),
    "velocity": ("sample", "time", "xyz"),
    "speed": ("sample",),
    "los": ("sample",),
    "split": ("sample",),
    "trajectory": ("sample",),
}
SHARD_BYTES = 256 * 2**20


def write_store(path: Path, dataset: xr.Dataset, kind: str) -> None:
    """Write `dataset` under `path`, all of it or nothing; a store that stood there before is replaced at the end.

    Args:
        path: folder of the store, ending in .zarr.
        dataset: follows the schema of `kind`; every variable has `units` and `long_name`.
        kind: "paths", "csi" or "angle_delay".

    Raises:
        StorageError: the data set breaks the schema, a trajectory is in two splits, or a value is NaN or infinite.
    """
    _check_schema(path, dataset, kind)
    _check_content(path, dataset)
    dataset = dataset.assign_attrs(schema=kind, schema_version=SCHEMA_VERSION)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        dataset.to_zarr(
            partial, mode="w-", zarr_format=3, consolidated=False, encoding=_encoding(dataset), write_empty_chunks=True
        )
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_store(path: Path, kind: str) -> xr.Dataset:
    """Open a store lazily after checking that it is complete and follows the schema.

    Raises:
        StorageError: no store there, another kind or schema version, or files of it missing.
    """
    path = Path(path)
    if not (path / "zarr.json").exists():
        raise StorageError(f"{path}: no {kind} store there (zarr.json is missing)")
    try:
        dataset = xr.open_zarr(path, consolidated=False, zarr_format=3, chunks=None)
    except Exception as error:
        raise StorageError(f"{path}: cannot be opened as a zarr store: {error}") from error
    found = dataset.attrs.get("schema"), dataset.attrs.get("schema_version")
    if found != (kind, SCHEMA_VERSION):
        raise StorageError(
            f"{path}: schema {found[0]!r} version {found[1]}, expected {kind!r} version {SCHEMA_VERSION}"
        )
    _check_schema(path, dataset, kind)
    _check_shards(path)
    return dataset


def read_array(path: Path, dataset: xr.Dataset, name: str) -> np.ndarray:
    """Values of one variable of an opened store.

    Raises:
        StorageError: a shard is cut short or damaged (its checksum disagrees).
    """
    with clear_damage(path, name):
        return require_read(dataset[name].values)


@contextmanager
def clear_damage(path: Path, name: str) -> Iterator[None]:
    """Turn whatever goes wrong while a variable is read into a StorageError that names it."""
    try:
        yield
    except Exception as error:
        raise StorageError(f"{path}: variable {name!r} is damaged or cut short: {error}") from error


def require_read(values: np.ndarray) -> np.ndarray:
    """`values`, unless chunks of it were missing: zarr fills them without a word."""
    if values.dtype.kind in "fc" and np.isnan(values.reshape(len(values), -1)[:, 0]).any():
        raise ValueError("chunks are missing")
    return values


def split_indices(dataset: xr.Dataset, split: str) -> np.ndarray:
    """Indices of the samples of one split ("train", "validation" or "test")."""
    return np.flatnonzero(dataset["split"].values == SPLITS.index(split))


def assign_splits(trajectories: int, shares: tuple[float, float, float], generator: np.random.Generator) -> np.ndarray:
    """Draw a split for every trajectory: int8 codes into SPLITS, at least one trajectory in each.

    Raises:
        StorageError: fewer than 3 trajectories.
    """
    if trajectories < len(SPLITS):
        raise StorageError(f"{trajectories} trajectories cannot fill the splits {', '.join(SPLITS)}; at least 3 needed")
    validation, test = (max(1, round(share * trajectories)) for share in shares[1:])
    train = max(1, trajectories - validation - test)
    codes = np.repeat(np.arange(3, dtype=np.int8), (train, validation, trajectories - train - validation))
    return generator.permutation(codes)


def split_attributes() -> dict:
    """Attributes of the variable `split` (CF flag conventions)."""
    return {
        "units": "1",
        "long_name": "split of the sample's trajectory",
        "flag_values": list(range(len(SPLITS))),
        "flag_meanings": " ".join(SPLITS),
    }


def _check_schema(path: Path, dataset: xr.Dataset, kind: str) -> None:
    name, dimensions = KINDS[kind]
    for variable, expected in {name: dimensions, **SAMPLE_VARIABLES}.items():
        if variable not in dataset.variables:
            raise StorageError(f"{path}: variable {variable!r} is missing; a {kind} store needs it")
        if dataset[variable].dims != expected:
            raise StorageError(f"{path}: {variable!r} has dimensions {dataset[variable].dims}, expected {expected}")
    if name == "csi" and dataset[name].dtype != np.complex64:
        raise StorageError(f"{path}: 'csi' is {dataset[name].dtype}, expected complex64")
    for variable in dataset.variables:
        for attribute in ("units", "long_name"):
            # xarray keeps decoded units in the encoding.
            if attribute not in dataset[variable].attrs:
                raise StorageError(f"{path}: variable {variable!r} has no attribute {attribute!r}")


def _check_content(path: Path, dataset: xr.Dataset) -> None:
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "fc" and not np.isfinite(variable.values).all():
            raise StorageError(f"{path}: variable {name!r} has NaN or infinite values")
    pairs = np.unique(np.stack([dataset["trajectory"].values, dataset["split"].values]), axis=1)
    trajectories, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        raise StorageError(f"{path}: trajectory {trajectories[counts > 1][0]} is in more than one split")


def _encoding(dataset: xr.Dataset) -> dict:
    from zarr.codecs import Crc32cCodec

    encoding = {}
    for name, variable in dataset.variables.items():
        chunks = tuple(max(1, size) for size in variable.shape)
        entry = {"compressors": [Crc32cCodec()], "chunks": chunks, "shards": None}
        if variable.dtype.kind in "fc":
            # What is missing when it is read becomes NaN, which no store holds, and not a plausible zero.
            entry["fill_value"] = variable.dtype.type(np.nan)
        if variable.dims[:1] == ("sample",) and variable.ndim > 2:
            # A chunk is one sample, the unit that training reads; a shard is as many samples as SHARD_BYTES hold.
            sample_bytes = variable.dtype.itemsize * math.prod(variable.shape[1:])
            per_shard = max(1, min(variable.shape[0], SHARD_BYTES // sample_bytes))
            entry |= {"chunks": (1, *chunks[1:]), "shards": (per_shard, *chunks[1:])}
        encoding[name] = entry
    return encoding


def _check_shards(path: Path) -> None:
    import zarr

    for name, array in zarr.open_group(path, mode="r").arrays():
        step = array.shards or array.chunks
        expected = math.prod(math.ceil(size / part) for size, part in zip(array.shape, step, strict=True))
        found = sum(1 for file in (path / name).rglob("*") if file.is_file()) - 1
        if found != expected:
            raise StorageError(f"{path}: variable {name!r} has {found} of {expected} files; the store is incomplete")
