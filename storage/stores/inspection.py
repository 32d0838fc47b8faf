"""What lies in a store, and whether all of it can be read back."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr
import zarr

from storage.errors import StorageError, first_line
from storage.stores.csi_store import array_shape, open_store, read_array, split_indices, stored_kind
from storage.stores.manifest import CHANGED, METADATA, Manifest, faults, is_as_written, is_metadata, read_manifest
from storage.stores.schema import GRID, KINDS, SPLITS, provenances, required_variables, windows_total
from storage.stores.shards import DamageError, ShardReader, StoredArray, read_checked_file
from storage.stores.spreads import delay_spread, direction_spread

QUANTILES = (0.05, 0.5, 0.95)
# Samples, evenly over the store, of which the spreads are told: their quantiles need no more.
SPREAD_SAMPLES = 500


@dataclass(frozen=True)
class Check:
    """Result of reading a whole store: one message per fault, and the samples that at least one of them costs."""

    shards: int
    samples: int
    faults: list[str]
    lost: int


def check_store(path: Path) -> Check:
    """Compare the digest of every file with the manifest; where one differs, checksums of chunks tell what is lost.

    Raises:
        StorageError: no store there, no manifest, or metadata that cannot be read.
    """
    path = Path(path)
    kind = stored_kind(path)
    manifest = read_manifest(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange files, which are told below
            arrays = dict(sorted(zarr.open_group(path, mode="r", use_consolidated=False).arrays()))
    except Exception as error:
        raise StorageError(f"{path}: the metadata of a variable cannot be read: {first_line(error)}") from error
    required_variables(path, kind, arrays)
    # Of the others it is told that their metadata are changed, or strange.
    arrays = {name: array for name, array in arrays.items() if is_as_written(path, manifest, f"{name}/{METADATA}")}
    shards, told = 0, []
    lost = np.zeros(max((array.shape[0] for array in arrays.values() if array.shards), default=0), bool)
    for place, fault in faults(path, manifest):
        if place in manifest and not is_metadata(place):
            continue  # of data it is told below which samples are lost
        costs = place in manifest or any(file.startswith(f"{place}/") for file in manifest)
        told.append(f"{path}: {place} {fault}{'; all samples lost' * costs}")
        lost |= costs
    for array in arrays.values():
        if not array.shards:
            shards += 1
            if damage := _check_whole(path, array, manifest):
                told.append(f"{damage}; all samples lost")
                lost[:] = True
            continue
        stored = StoredArray.of(path, array)
        shards += stored.shards
        for one in _damages(stored, manifest):
            told.append(str(one))
            lost[one.samples.start : one.samples.stop] = True
    return Check(shards, len(lost), told, int(lost.sum()))


def describe_store(path: Path) -> dict[str, str]:
    """What a store holds, as lines of text by subject.

    Raises:
        StorageError: no store there, or it is incomplete or damaged.
    """
    path = Path(path)
    kind = stored_kind(path)
    store = open_store(path, kind)
    name = KINDS[kind][0]
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    stored = StoredArray.of(path, cast(zarr.Array, group[name]))
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    lines = {
        "store": f"{path}: {kind}, schema version {store.attrs['schema_version']}",
        "shape": ", ".join(f"{count} {axis}" for axis, count in store[name].sizes.items()),
        "variables": ", ".join(f"{key} [{store[key].attrs['units']}]" for key in sorted(map(str, store.data_vars))),
        "coordinates": ", ".join(_range(path, store, key) for key in sorted(map(str, store.coords))),
        "size on disk": f"{size / 2**20:.1f} MiB in {len(files)} files",
        "shards": f"{stored.shards} of {name!r}, {stored.shard} samples each",
        **_signal(path, store, kind),
        **(_spreads(path, store) if kind == "csi" else {}),
        "splits": ", ".join(_split(path, store, split) for split in SPLITS),
        **_motion(path, store),
    }
    windows = windows_total(store.attrs)
    if windows:
        samples = store.sizes["sample"]
        lines["coverage"] = f"{100 * samples / windows:.1f} % ({samples} of {windows} windows have a path)"
    if kind == "angle_delay":
        kept = read_array(path, store, "energy_kept")
        lines["energy kept"] = f"{100 * kept.mean():.2f} % on average, {100 * kept.min():.2f} % at least"
    for number, source in enumerate(provenances(store.attrs)):
        for key, value in source.items():
            lines[f"{key} of the appended samples ({number})" if number else key] = str(value)
    return lines


def _damages(stored: StoredArray, manifest: Manifest) -> Iterator[DamageError]:
    for shard in range(stored.shards):
        if not is_as_written(stored.store, manifest, stored.place(shard)):
            found = list(_damages_of_shard(stored, shard))
            # Sound in itself, it belongs elsewhere.
            yield from found or [DamageError(stored.store, stored.file(shard), CHANGED, stored.samples(shard))]


def _damages_of_shard(stored: StoredArray, shard: int) -> Iterator[DamageError]:
    buffer = stored.buffer()
    try:
        with ShardReader(stored, shard) as reader:
            for chunk in range(stored.used_chunks(shard)):
                try:
                    reader.read(chunk, buffer)
                except DamageError as damage:
                    yield damage
    except DamageError as damage:
        yield damage


def _check_whole(path: Path, array: zarr.Array, manifest: Manifest) -> str | None:
    """Fault of an array in one file, if any."""
    place = f"{array.basename}/{array.metadata.encode_chunk_key((0,) * array.ndim)}"
    if is_as_written(path, manifest, place):
        return None
    try:
        damaged = read_checked_file(path / place) is None
    except OSError as error:
        return f"{path}: {place}: cannot be opened ({error.strerror})"
    return f"{path}: {place}: {'checksum disagrees' if damaged else CHANGED}"


def _signal(path: Path, store: xr.Dataset, kind: str) -> dict[str, str]:
    """Statistics of the main variable, in one pass with little memory."""
    gains = np.concatenate([_gains(path, part, kind) for part in _blocks(store, KINDS[kind][0])])
    with np.errstate(divide="ignore"):
        gains_db = 10 * np.log10(gains)
    lines = {"gain of a sample": f"{_quantiles(gains_db)} dB"}
    if kind != "paths":
        return {"RMS": f"{math.sqrt(gains.mean()):.4g}"} | lines
    delays = [
        read_array(path, part, "delay")[read_array(path, part, "valid").astype(bool)]
        for part in _blocks(store, "delay")
    ]
    return lines | {"delay of a path": f"{_quantiles(np.concatenate(delays) * 1e9)} ns"}


def _spreads(path: Path, store: xr.Dataset) -> dict[str, str]:
    """Spread of delay and of direction, where the store says how far its subcarriers and antennas are apart."""
    samples = store.sizes["sample"]
    chosen = np.linspace(0, samples - 1, min(SPREAD_SAMPLES, samples)).astype(int)
    csi = read_array(path, store.isel(sample=chosen), "csi")
    lines = {}
    if "subcarrier" in store.coords and store.sizes["subcarrier"] > 1:
        spacing = float(np.diff(read_array(path, store, "subcarrier")[:2])[0])
        lines["delay spread"] = f"{_quantiles(delay_spread(csi, spacing) * 1e9)} ns, RMS of a sample"
    if set(GRID) <= store.attrs.keys():
        directions = direction_spread(csi, array_shape(store))
        if directions is not None:
            lines["direction spread"] = f"{_quantiles(directions)} turns per antenna, RMS of a sample"
    return lines


def _motion(path: Path, store: xr.Dataset) -> dict[str, str]:
    """What imported CSI may not know."""
    lines = {}
    if "los" in store:
        lines["line of sight"] = f"{100 * read_array(path, store, 'los').mean():.1f} % of the samples"
    if "speed" in store:
        lines["speed"] = f"{_quantiles(read_array(path, store, 'speed'))} {store['speed'].attrs['units']}"
    return lines


def _gains(path: Path, part: xr.Dataset, kind: str) -> np.ndarray:
    """Mean |h|^2 of each sample; of paths their sum of |amplitude|^2, mean over keys, antennas and slots."""
    if kind != "paths":
        return _power(read_array(path, part, "csi")).mean(axis=(1, 2, 3))
    if "coefficient" in part:
        return _power(read_array(path, part, "coefficient")).sum(axis=1).mean(axis=(1, 2))
    return _power(read_array(path, part, "amplitude")).sum(axis=(2, 3)).mean(axis=1)


def _power(values: np.ndarray) -> np.ndarray:
    return np.square(values.real, dtype=np.float64) + np.square(values.imag, dtype=np.float64)


def _blocks(store: xr.Dataset, name: str) -> Iterator[xr.Dataset]:
    step = store[name].encoding["shards"][0]
    for start in range(0, store.sizes["sample"], step):
        yield store.isel(sample=slice(start, start + step))


def _quantiles(values: np.ndarray) -> str:
    if not values.size:
        raise StorageError("there are no values to describe")
    low, middle, high = np.quantile(values, QUANTILES)
    return f"{middle:.4g} (median), {low:.4g} to {high:.4g} (5 to 95 %)"


def _split(path: Path, store: xr.Dataset, split: str) -> str:
    indices = split_indices(store, split)
    users = len(np.unique(read_array(path, store, "trajectory")[indices]))
    return f"{split} {len(indices)} samples of {users} trajectories"


def _range(path: Path, store: xr.Dataset, name: str) -> str:
    values = read_array(path, store, name)
    span = f"{values.min():g} to {values.max():g}" if values.size else "empty"
    return f"{name} {span} [{store[name].attrs['units']}]"
