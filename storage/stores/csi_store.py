"""Stores of path parameters, CSI and angle-delay maps: xarray Datasets on sharded zarr v3 (docs/data-contract.md).

The same data give the same bytes, however they were cut into parts: no clock time, host or path is written. A store
appears under its name only when it is complete, and the one before it stays until then.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from storage.errors import StorageError, first_line
from storage.replacement import recover, replacing
from storage.stores.known_samples import KnownSamples
from storage.stores.manifest import read_manifest, require_files
from storage.stores.schema import GRID, KINDS, SCHEMA_VERSION, SPLITS, require_kind, require_schema
from storage.stores.schema import SAMPLE_VARIABLES as SAMPLE_VARIABLES
from storage.stores.writing import StoreWriter

Parts = xr.Dataset | Iterable[xr.Dataset]


def write_store(path: Path, parts: Parts, kind: str) -> None:
    """Write a store, all of it or nothing; a store that stood there before is replaced at the end.

    Args:
        path: folder of the store, ending in .zarr.
        parts: one data set, or data sets that follow each other along `sample` and agree in all else. They follow the
            schema of `kind` (storage/stores/schema.py); every variable has `units` and `long_name`. Memory: one part,
            or of a lazy one a shard at a time.
        kind: "paths", "csi" or "angle_delay".

    Raises:
        StorageError: a part breaks the schema or disagrees with those before it, a trajectory is in two splits, a
            value is NaN or infinite, there is no sample, another process writes this store, or the disk is full.
    """
    path = Path(path)
    require_kind(path, kind)
    with replacing(path) as folder:
        _fill(StoreWriter(path, folder, kind), parts)


def append_store(path: Path, parts: Parts, kind: str, new_users: bool = False) -> int:
    """Add samples to a store, all of them or none: the bytes are those of one `write_store` of old and new samples.

    Full shards stay the files they are; the last, partly filled shard of each variable is replaced.

    Args:
        path: an existing store of this kind.
        parts: as for `write_store`; they must agree with the store in variables, dimensions, types, units, coordinates
            and all attributes but those of their origin (storage/stores/schema.py: PROVENANCE). An origin unlike that
            of the store is added to its attribute `appended`.
        kind: of the store.
        new_users: the users of `parts` are others than those of the store: their trajectories, counted from 0, are
            numbered on from the last of the store.

    Returns:
        Number of samples that the store held before.

    Raises:
        StorageError: as for `write_store` and `open_store`, the store holds one of the samples already, or a trajectory
            is negative, or too large for the type of those of the store, where it is to be numbered on.
    """
    path = Path(path)
    require_kind(path, kind)
    recover(path)
    with replacing(path) as folder:
        writer = StoreWriter(path, folder, kind)
        with _abandoned_on_error(writer):
            store = open_store(path, kind)
            writer.take_over(path, store, KnownSamples(path, store, kind, partial(read_array, path)))
            if new_users:
                parts = _numbered_on(path, parts, kind, read_array(path, store, "trajectory"))
        _fill(writer, parts)
    return store.sizes["sample"]


def open_store(path: Path, kind: str) -> xr.Dataset:
    """Open a store lazily after checking that it is complete and follows the schema.

    Raises:
        StorageError: no store there, another kind or schema version, no manifest, or files that are missing, too many,
            of another size than that lists, or changed metadata.
    """
    path = Path(path)
    require_kind(path, kind)
    recover(path)
    _require_store(path, kind)
    require_files(path, read_manifest(path))
    try:
        dataset = xr.open_zarr(path, consolidated=False, zarr_format=3, chunks=None)
    except Exception as error:
        raise StorageError(f"{path}: cannot be opened as a zarr store: {first_line(error)}") from error
    require_schema(path, dataset, kind)
    dataset.encoding["source"] = str(path)
    return dataset


def read_array(path: Path, dataset: xr.Dataset, name: str) -> np.ndarray:
    """Values of one variable of an opened store, or of a selection of it such as `store.isel(sample=slice(0, 64))`.

    Raises:
        StorageError: a shard is cut short or damaged (its checksum disagrees).
    """
    try:
        values = dataset[name].values
    except Exception as error:
        raise StorageError(f"{path}: variable {name!r} is damaged or cut short: {first_line(error)}") from error
    # zarr fills missing chunks without a word, and no store holds NaN.
    if values.dtype.kind in "fc" and values.size and np.isnan(values.reshape(len(values), -1)[:, 0]).any():
        raise StorageError(f"{path}: variable {name!r} is damaged or cut short: chunks are missing")
    return values


def stored_kind(path: Path) -> str:
    """Kind of the store that lies there.

    Raises:
        StorageError: no store there, or none of this schema version.
    """
    path = Path(path)
    recover(path)
    return _require_store(path, None)


def split_indices(dataset: xr.Dataset, split: str) -> np.ndarray:
    """Indices of the samples of one split ("train", "validation" or "test") of an opened store.

    Raises:
        StorageError: the splits cannot be read.
    """
    return np.flatnonzero(read_array(Path(dataset.encoding["source"]), dataset, "split") == SPLITS.index(split))


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


def _numbered_on(path: Path, parts: Parts, kind: str, known: np.ndarray) -> Iterator[xr.Dataset]:
    """The parts with trajectories that follow those `known`, (sample,) whole numbers."""
    shift, largest = int(known.max()) + 1, int(np.iinfo(known.dtype).max)
    for part in [parts] if isinstance(parts, xr.Dataset) else parts:
        require_schema(path, part, kind)
        numbers = read_array(Path(part.encoding.get("source", path)), part, "trajectory").astype(np.int64)
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= largest - shift:
            raise StorageError(
                f"{path}: new trajectories {numbers.min()} to {numbers.max()} cannot be numbered on from {shift}; "
                f"allowed: 0 to {largest - shift}, as {known.dtype} holds no more"
            )
        yield part.assign(trajectory=part["trajectory"].copy(data=(numbers + shift).astype(part["trajectory"].dtype)))


def _fill(writer: StoreWriter, parts: Parts) -> None:
    with _abandoned_on_error(writer):
        for part in [parts] if isinstance(parts, xr.Dataset) else parts:
            writer.write(part)
        writer.close()


@contextmanager
def _abandoned_on_error(writer: StoreWriter) -> Iterator[None]:
    try:
        yield
    except BaseException:
        writer.abandon()
        raise


def _require_store(path: Path, kind: str | None) -> str:
    """Kind of the store under `path`; any if `kind` is None."""
    if not (path / "zarr.json").exists():
        raise StorageError(f"{path}: no {kind or 'CSI'} store there (zarr.json is missing)")
    try:
        attributes = zarr.open_group(path, mode="r", use_consolidated=False).attrs
        found = attributes.get("schema"), attributes.get("schema_version")
    except Exception as error:
        raise StorageError(f"{path}: cannot be opened as a zarr store: {first_line(error)}") from error
    if found[0] is None:
        raise StorageError(
            f"{path}: the attribute 'schema' is missing, which a program that appends takes from what it appends: give "
            f"the group the attributes of the store again, then python -m storage adopt {path} NEW.zarr; other CSI is "
            "imported (kind: zarr)"
        )
    if not isinstance(found[0], str):
        raise StorageError(f"{path}: attribute 'schema' is {found[0]!r}, expected one of {', '.join(KINDS)}")
    expected = (found[0] if kind is None else kind), SCHEMA_VERSION
    if found != expected or found[0] not in KINDS:
        raise StorageError(
            f"{path}: schema {found[0]!r} version {found[1]}, expected {expected[0]!r} version {expected[1]}"
        )
    return found[0]


def array_shape(store: xr.Dataset) -> tuple[int, int, int]:
    """(polarisations, rows, columns) of the array of a CSI store.

    Raises:
        StorageError: the store does not say how many rows and columns there are.
    """
    if not set(GRID) <= store.attrs.keys():
        raise StorageError(
            f"{store.encoding.get('source', 'store')}: the attributes {' and '.join(GRID)} are missing, which tell how "
            "many rows and columns of antennas the array has"
        )
    rows, columns = (int(store.attrs[name]) for name in GRID)
    return store.sizes["antenna"] // (rows * columns), rows, columns
