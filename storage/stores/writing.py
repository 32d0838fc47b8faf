"""Samples into the folder of a store, part by part: checked, and never more of them held than one block."""

import shutil
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from storage.errors import StorageError
from storage.replacement import clear_write_errors
from storage.stores.known_samples import KnownSamples
from storage.stores.manifest import is_metadata, read_manifest, write_manifest
from storage.stores.schema import (
    APPENDED,
    SCHEMA_VERSION,
    SPLITS,
    plain_attributes,
    provenances,
    require_agreement,
    require_schema,
)
from storage.stores.shards import ShardWriter, chunk_and_shard, fill_value


class StoreWriter:
    """Fills an empty folder with one store; `close` completes it, `abandon` gives up.

    Args:
        path: name of the store in messages.
        folder: where it is written.
        kind: of the store.
    """

    def __init__(self, path: Path, folder: Path, kind: str):
        self._path, self._folder, self._kind = path, folder, kind
        self._template: xr.Dataset | None = None
        self._writers: dict[str, ShardWriter] = {}
        self._samples = 0
        self._known: KnownSamples | None = None
        self._taken_over = 0
        self._splits: dict[int, int] = {}
        self._sources: list[dict] = []

    def take_over(self, store: Path, dataset: xr.Dataset, known: KnownSamples) -> None:
        """Start with all that `store` holds; `dataset` is that store, opened, and `known` what its samples hold."""
        manifest = read_manifest(store)
        self._template = dataset.isel(sample=slice(0)).load()
        self._sources = provenances(dataset.attrs)
        self._note_splits(dataset)
        self._samples = self._taken_over = dataset.sizes["sample"]
        self._known = known
        with clear_write_errors(self._path):
            for place in manifest:
                # Metadata will change, and coordinates are small: copies. Shards follow below.
                if is_metadata(place) or "sample" not in dataset[place.partition("/")[0]].dims:
                    target = self._folder / place
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(store / place, target)
            self._make_writers(self._template)
            for writer in self._writers.values():
                writer.take_over(store, self._samples, manifest)

    def write(self, part: xr.Dataset) -> None:
        """Append the samples of `part`; it may be lazy, and is computed a block of about a shard at a time.

        Raises:
            StorageError: the part breaks the schema, does not agree with those before it, has values that are not
                finite, a trajectory of another split or a sample that was taken over; or the disk is full.
        """
        require_schema(self._path, part, self._kind)
        if self._template is None:
            self._begin(part)
        else:
            require_agreement(self._path, self._template, part)
        source = provenances(plain_attributes(part.attrs))
        self._sources += [entry for entry in source if entry not in self._sources]
        step = min(chunk_and_shard(_sample_bytes(part[name]))[1] for name in self._writers)
        for start in range(0, part.sizes["sample"], step):
            block = part.isel(sample=slice(start, start + step)).compute()
            self._require_finite(block)
            self._note_splits(block)
            if self._known:
                self._known.refuse(block, self._samples - self._taken_over)
            with clear_write_errors(self._path):
                for name, writer in self._writers.items():
                    writer.write(block[name].values)
            self._samples += block.sizes["sample"]

    def close(self) -> None:
        """Complete the last shards and the metadata, and write the manifest.

        Raises:
            StorageError: there is no sample, or the disk is full.
        """
        if not self._samples:
            raise StorageError(f"{self._path}: there are no samples to write")
        with clear_write_errors(self._path):
            group = zarr.open_group(self._folder, mode="r+", use_consolidated=False)
            for name, writer in self._writers.items():
                writer.close()
                array = cast(zarr.Array, group[name])
                array.resize((self._samples, *array.shape[1:]))
            if self._sources[1:]:
                group.attrs[APPENDED] = self._sources[1:]
            shards = [writer.files for writer in self._writers.values()]
            write_manifest(self._folder, {place: entry for files in shards for place, entry in files.items()})

    def abandon(self) -> None:
        for writer in self._writers.values():
            writer.abandon()

    def _begin(self, part: xr.Dataset) -> None:
        attributes = plain_attributes(part.attrs) | {"schema": self._kind, "schema_version": SCHEMA_VERSION}
        attributes.pop(APPENDED, None)
        template = part.isel(sample=slice(0)).compute().drop_encoding().assign_attrs(attributes)
        template.attrs = attributes
        for name, variable in template.variables.items():
            if "sample" in variable.dims and variable.dims[0] != "sample":
                raise StorageError(f"{self._path}: {name!r} has dimensions {variable.dims}; sample must be the first")
        self._require_finite(template)
        with clear_write_errors(self._path):
            template.to_zarr(self._folder, mode="a", zarr_format=3, consolidated=False, encoding=_encoding(template))
        self._template = template
        self._make_writers(template)

    def _make_writers(self, template: xr.Dataset) -> None:
        for name, variable in template.variables.items():
            if "sample" in variable.dims:
                self._writers[str(name)] = ShardWriter(self._folder, str(name), variable.dtype, variable.shape[1:])

    def _require_finite(self, block: xr.Dataset) -> None:
        for name, variable in block.variables.items():
            if variable.dtype.kind not in "fc":
                continue
            finite = np.isfinite(variable.values)
            if not finite.all():
                where = ""
                if "sample" in variable.dims:
                    wrong = ~finite.reshape(len(finite), -1).all(axis=1)
                    where = f", first in sample {self._samples + int(wrong.argmax())}"
                raise StorageError(f"{self._path}: variable {name!r} has NaN or infinite values{where}")

    def _note_splits(self, block: xr.Dataset) -> None:
        trajectories, splits = block["trajectory"].values, block["split"].values
        if not np.isin(splits, range(len(SPLITS))).all():
            raise StorageError(f"{self._path}: 'split' must be 0 to {len(SPLITS) - 1} ({', '.join(SPLITS)})")
        pairs = np.unique(np.stack([trajectories, splits]), axis=1)
        for trajectory, split in pairs.T.tolist():
            if self._splits.setdefault(trajectory, split) != split:
                raise StorageError(f"{self._path}: trajectory {trajectory} is in more than one split")


def _sample_bytes(variable: xr.DataArray) -> int:
    return variable.dtype.itemsize * int(np.prod(variable.shape[1:], dtype=np.int64))


def _encoding(template: xr.Dataset) -> dict:
    encoding = {}
    for name, variable in template.variables.items():
        entry = {"compressors": [Crc32cCodec()], "filters": None, "fill_value": fill_value(variable.dtype)}
        if "sample" in variable.dims:
            chunk, shard = chunk_and_shard(_sample_bytes(template[name]))
            entry |= {"chunks": (chunk, *variable.shape[1:]), "shards": (shard, *variable.shape[1:])}
        else:
            entry |= {"chunks": variable.shape, "shards": None}
        encoding[name] = entry
    return encoding
