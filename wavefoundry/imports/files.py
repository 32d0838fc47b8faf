"""Numeric arrays in MATLAB, npz and zarr files, read in parts where the format allows.

Files may come from anywhere: no pickle is loaded, no link followed out of a file, nothing unpacked far beyond what is
stored, and whatever is wrong with a file is one InputError.
"""

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from wavefoundry.errors import InputError
from wavefoundry.imports import hdf5, npz
from wavefoundry.imports.limits import PLENTY, readable, require_filled, require_memory

# Of a blosc chunk: bytes unpacked and packed.
BLOSC_HEADER = struct.Struct("<4xI4xI")


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes:
        name: file and variable, for messages.
        shape: in the order of MATLAB's or Python's indices.
        complex: whether its numbers are complex.
        read: (axis, slice) -> the part of the array with these indices on that axis; InputError where it is damaged.
        carrier_frequency: what the file says of it [Hz], if anything.
    """

    name: str
    shape: tuple[int, ...]
    complex: bool
    read: Callable[[int, slice], np.ndarray]
    carrier_frequency: float | None = None


@contextmanager
def open_array(kind: str, path: Path, variable: str) -> Iterator[StoredArray]:
    """Open an array of a file.

    Args:
        kind: "mat" (v5 and v7.3), "npz" or "zarr" (v2 and v3).
        path: the file, for zarr the folder.
        variable: name in the file; for zarr a path in the group.

    Raises:
        InputError: no such file or variable, a file of another kind or a damaged one, no array of numbers, data outside
            of the file, or a size that the file cannot hold.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    with {"mat": _mat, "npz": _npz, "zarr": _zarr}[kind](path, variable) as array:
        yield array


def _missing(path: Path, variable: str, found) -> InputError:
    names = ", ".join(sorted(name for name in found if not name.startswith("#"))) or "nothing"
    return InputError(f"{path}: no variable {variable!r}; found: {names}")


def _require_numbers(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if dtype.kind not in "iufc":
        raise InputError(f"{name} holds {dtype}, expected real or complex numbers")
    if not shape:
        raise InputError(f"{name} is a single number, expected an array")


@contextmanager
def _mat(path: Path, variable: str) -> Iterator[StoredArray]:
    import h5py

    with readable(f"{path}: cannot be read as a MATLAB file"):
        if not h5py.is_hdf5(path):
            array = _mat_v5(path, variable)
            file = None
        else:
            file = h5py.File(path)
    if file is None:
        yield array
        return
    with file:
        with readable(f"{path}: cannot be read as a MATLAB file"):
            array = _hdf5(path, variable, file)
        yield array


def _mat_v5(path: Path, variable: str) -> StoredArray:
    import scipy.io

    found = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}
    if variable not in found:
        raise _missing(path, variable, found)
    (shape, kind), name = found[variable], f"{path}: {variable!r}"
    # Real and imaginary part: which of them are there is known only after reading.
    item_bytes = 2 * (np.dtype(kind).itemsize if kind in np.sctypeDict else np.dtype(float).itemsize)
    require_filled(name, shape, item_bytes, path.stat().st_size)
    require_memory(name, shape, item_bytes)
    values = np.asarray(scipy.io.loadmat(path, variable_names=[variable])[variable])
    _require_numbers(name, values.dtype, values.shape)
    return StoredArray(
        name, values.shape, values.dtype.kind == "c", lambda axis, part: values[(slice(None),) * axis + (part,)]
    )


def _hdf5(path: Path, variable: str, file) -> StoredArray:
    """A variable of a v7.3 file: axes in reverse order, complex numbers as pairs of fields."""
    import h5py

    data, name = hdf5.dataset(path, variable, file), f"{path}: {variable!r}"
    if data is None:
        raise _missing(path, variable, file)
    if not isinstance(data, h5py.Dataset):
        raise InputError(f"{name} is a struct or cell array, expected an array of numbers")
    is_complex = data.dtype.names == ("real", "imag")
    for part in (data.dtype["real"], data.dtype["imag"]) if is_complex else (data.dtype,):
        _require_numbers(name, part, data.shape)
    require_filled(name, data.shape, data.dtype.itemsize, min(data.id.get_storage_size(), path.stat().st_size))

    def read(axis: int, part: slice) -> np.ndarray:
        with readable(f"{name} is damaged"):
            values = data[(slice(None),) * (data.ndim - 1 - axis) + (part,)]
            if is_complex:
                values = values["real"] + 1j * values["imag"]
            return values.T

    return StoredArray(name, data.shape[::-1], is_complex or data.dtype.kind == "c", read)


@contextmanager
def _npz(path: Path, variable: str) -> Iterator[StoredArray]:
    name = f"{path}: {variable!r}"
    with readable(f"{path}: cannot be read"), open(path, "rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path}: holds one array without a name, expected an npz file")
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception:  # numpy's words for a pickle are the advice to load it
        raise InputError(f"{path}: cannot be read as an npz file of arrays; pickles are refused") from None
    with archive:
        with readable(f"{name} is damaged"):
            if f"{variable}.npy" not in archive.zip.namelist():
                raise _missing(path, variable, archive.files)
            shape, dtype = npz.described(path, variable, archive.zip)
        _require_numbers(name, dtype, shape)

        @cache
        def values() -> np.ndarray:
            with readable(f"{name} is damaged"):
                return archive[variable]

        yield StoredArray(name, shape, dtype.kind == "c", lambda axis, part: values()[(slice(None),) * axis + (part,)])


@contextmanager
def _zarr(path: Path, variable: str) -> Iterator[StoredArray]:
    import zarr

    name = f"{path}: {variable!r}"
    with readable(f"{path}: cannot be read as a zarr group"):
        group = zarr.open_group(path, mode="r", use_consolidated=False)
        carrier = group.attrs.get("carrier_frequency")
    if not (carrier is None or (isinstance(carrier, int | float) and np.isfinite(carrier))):
        raise InputError(f"{path}: attribute carrier_frequency is {repr(carrier)[:100]}, expected a number [Hz]")
    if {"..", "."} & set(variable.split("/")):
        raise InputError(f"{name}: allowed: names of arrays in the group, without . and ..")
    with readable(f"{name} cannot be read as a zarr array"):
        array = group.get(variable)
        if not isinstance(array, zarr.Array):
            raise _missing(path, variable, group.array_keys())
        _require_numbers(name, array.dtype, array.shape)
        if array.nbytes > PLENTY:
            require_filled(name, array.shape, array.dtype.itemsize, array.nbytes_stored())
        _require_whole_blosc(name, path, array)

    def read(axis: int, part: slice) -> np.ndarray:
        with readable(f"{name} is damaged"):
            return np.asarray(array[(slice(None),) * axis + (part,)])

    yield StoredArray(name, array.shape, array.dtype.kind == "c", read, carrier)


def _require_whole_blosc(name: str, folder: Path, array) -> None:
    """Refuse chunks that are not as long as they say: blosc would read on in memory behind them.

    Chunks within shards are not looked at.
    """
    packed_last = [type(one).__name__ for one in array.compressors][-1:]
    if array.shards or packed_last not in (["Blosc"], ["BloscCodec"]):
        return
    folder = folder / array.path
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith(".z") and file.name != "zarr.json":
            with open(file, "rb") as chunk:
                header = chunk.read(BLOSC_HEADER.size)
            length = file.stat().st_size
            if len(header) < BLOSC_HEADER.size or BLOSC_HEADER.unpack(header)[1] != length:
                raise InputError(f"{name}: chunk {file.relative_to(folder)} of {length} bytes is cut or damaged")
            if BLOSC_HEADER.unpack(header)[0] > (most := math.prod(array.chunks) * array.dtype.itemsize):
                raise InputError(f"{name}: chunk {file.relative_to(folder)} would unpack to more than its {most} bytes")
