"""Stores that another program has copied, cut or appended to, made stores of ours again.

Such a program writes no manifest, or leaves the old one behind. What it wrote is read through xarray and written anew:
the values are checked as those of any new store, chunks against their checksums where the program kept them. A chunk
that is absent is its variable's fill value in zarr: of whole numbers that is a value (xarray leaves out chunks of
zeros), of real and complex ones NaN in our stores, which is refused.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from storage.errors import StorageError, first_line
from storage.stores.csi_store import read_array, stored_kind, write_store
from storage.stores.schema import KINDS, require_schema
from storage.stores.shards import chunk_and_shard


def adopt_store(source: Path, target: Path) -> int:
    """Write the store `target` with all that is in `source`; returns the number of its samples.

    Args:
        source: a zarr v3 store with the variables and attributes of ours, the attributes `schema` and `schema_version`
            among them.
        target: a new folder, or `source` itself, which is then replaced when all is written.

    Raises:
        StorageError: `source` has another schema or cannot be read, `target` is something else that exists or lies in
            `source`, or as for `write_store`.
    """
    source, target = Path(source), Path(target)
    kind = stored_kind(source)
    if target.exists() and target.resolve() != source.resolve():
        raise StorageError(f"{target}: is there already; allowed: a new folder, or the source itself")
    if source.resolve() in target.resolve().parents:
        raise StorageError(f"{target}: lies inside of {source}, which it would damage; allowed: a folder elsewhere")
    try:
        dataset = xr.open_zarr(source, consolidated=False, chunks=None)
    except Exception as error:
        raise StorageError(f"{source}: cannot be opened as a zarr store: {first_line(error)}") from error
    require_schema(source, dataset, kind)
    write_store(target, _parts(source, dataset, KINDS[kind][0]), kind)
    return dataset.sizes["sample"]


def _parts(source: Path, dataset: xr.Dataset, name: str) -> Iterator[xr.Dataset]:
    main = dataset[name]
    step = chunk_and_shard(main.dtype.itemsize * int(np.prod(main.shape[1:], dtype=np.int64)))[1]
    for start in range(0, dataset.sizes["sample"], step):
        part = dataset.isel(sample=slice(start, start + step))
        values = {
            key: variable.copy(data=read_array(source, part, str(key))) for key, variable in part.variables.items()
        }
        yield xr.Dataset(
            {key: values[key] for key in part.data_vars}, {key: values[key] for key in part.coords}, part.attrs
        )
