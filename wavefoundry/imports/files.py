"""Numeric arrays in MATLAB, npz, npy and zarr files, read in parts where the format allows.

Files may come from anywhere: no pickle is loaded, no link followed out of a file, nothing unpacked far beyond what is
stored, and whatever is wrong with a file is one InputError.
"""

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from wavefoundry.errors import InputError
from wavefoundry.imports import hdf5, mat_v5, npz, zarr_zip
from wavefoundry.imports.limits import PLENTY, readable, require_filled, require_memory, sizes

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
def open_array(kind: str, path: Path, variable: str | None) -> Iterator[StoredArray]:
    """Open an array of a file.

    Args:
        kind: "mat" (v5 and v7.3), "npz", "npy" or "zarr" (v2 and v3).
        path: the file, for zarr the folder or a zip file of what is in it.
        variable: name in the file; for zarr a path in the group; for MATLAB also a path into structs and cells, such as
            "channel/H" or "users/3" (cells are counted from 1). None: the file is one array, of npy or zarr.

    Raises:
        InputError: no such file or variable, a file of another kind or a damaged one, no array of numbers, data outside
            of the file, or a size that the file cannot hold.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if variable is None:
        with {"npy": _npy, "zarr": _zarr}[kind](path) as array:
            yield array
    else:
        with {"mat": _mat, "npz": _npz, "zarr": _zarr}[kind](path, variable) as array:
            yield array


def joined(real: StoredArray, imaginary: StoredArray) -> StoredArray:
    """One complex array of two real ones.

    Raises:
        InputError: one of them is complex, or their shapes differ.
    """
    for array in (real, imaginary):
        if array.complex:
            raise InputError(f"{array.name} holds complex numbers, expected real ones: it is one of two parts")
    if imaginary.shape != real.shape:
        raise InputError(f"{imaginary.name} has shape {sizes(imaginary.shape)}, {real.name} {sizes(real.shape)}")

    def read(axis: int, part: slice) -> np.ndarray:
        return real.read(axis, part) + 1j * imaginary.read(axis, part)

    return StoredArray(f"{real.name} and {imaginary.name}", real.shape, True, read, real.carrier_frequency)


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
    top, *within = variable.split("/")
    if top not in found:
        raise _missing(path, top, found)
    (shape, kind), name = found[top], f"{path}: {variable!r}"
    # Real and imaginary part: which of them are there is known only after reading.
    item_bytes = 2 * (np.dtype(kind).itemsize if kind in np.sctypeDict else np.dtype(float).itemsize)
    require_filled(name, shape, item_bytes, path.stat().st_size)
    require_memory(name, shape, item_bytes)
    values = mat_v5.within(path, variable, np.asarray(scipy.io.loadmat(path, variable_names=[top])[top]), within)
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
            raise InputError(f"{path}: holds one array without a name, expected an npz file (kind: npy reads it)")
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
def _npy(path: Path) -> Iterator[StoredArray]:
    try:
        values = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception:  # numpy's words for a pickle are the advice to load it
        raise InputError(f"{path}: is no whole npy file of an array of numbers; pickles are refused") from None
    _require_numbers(str(path), values.dtype, values.shape)
    yield StoredArray(
        str(path), values.shape, values.dtype.kind == "c", lambda axis, part: values[(slice(None),) * axis + (part,)]
    )


@contextmanager
def _zarr(path: Path, variable: str | None = None) -> Iterator[StoredArray]:
    import zarr

    name = str(path) if variable is None else f"{path}: {variable!r}"
    if {"..", "."} & set((variable or "").split("/")):
        raise InputError(f"{name}: allowed: names of arrays in the group, without . and ..")
    with ExitStack() as opened:
        with readable(f"{path}: cannot be read as a zarr {'array' if variable is None else 'group'}"):
            store = opened.enter_context(zarr_zip.store(path)) if path.is_file() else path
            if variable is None:
                top: zarr.Group | zarr.Array = zarr.open(store, mode="r")
                if not isinstance(top, zarr.Array):
                    raise _nameless(path, top.array_keys())
            else:
                top = zarr.open_group(store, mode="r", use_consolidated=False)
            carrier = top.attrs.get("carrier_frequency")
        if not (carrier is None or (isinstance(carrier, int | float) and np.isfinite(carrier))):
            raise InputError(f"{path}: attribute carrier_frequency is {repr(carrier)[:100]}, expected a number [Hz]")
        with readable(f"{name} cannot be read as a zarr array"):
            array = top.get(str(variable)) if isinstance(top, zarr.Group) else top
            if not isinstance(array, zarr.Array):
                raise _missing(path, str(variable), top.array_keys() if isinstance(top, zarr.Group) else ())
            _require_numbers(name, array.dtype, array.shape)
            if array.nbytes > PLENTY:
                require_filled(name, array.shape, array.dtype.itemsize, array.nbytes_stored())
            _require_whole_blosc(name, path, array)

        def read(axis: int, part: slice) -> np.ndarray:
            with readable(f"{name} is damaged"):
                return np.asarray(array[(slice(None),) * axis + (part,)])

        yield StoredArray(name, array.shape, array.dtype.kind == "c", read, carrier)


def _nameless(path: Path, found) -> InputError:
    return InputError(f"{path}: is a zarr group, variable is null; found: {', '.join(sorted(found)) or 'nothing'}")


def _require_whole_blosc(name: str, path: Path, array) -> None:
    """Refuse chunks that are not as long as they say: blosc would read on in memory behind them.

    Chunks within shards are not looked at.
    """
    packed_last = [type(one).__name__ for one in array.compressors][-1:]
    if array.shards or packed_last not in (["Blosc"], ["BloscCodec"]):
        return
    most = math.prod(array.chunks) * array.dtype.itemsize
    for chunk, header, length in _chunks(path, array.path):
        if len(header) < BLOSC_HEADER.size or BLOSC_HEADER.unpack(header)[1] != length:
            raise InputError(f"{name}: chunk {chunk} of {length} bytes is cut or damaged")
        if BLOSC_HEADER.unpack(header)[0] > most:
            raise InputError(f"{name}: chunk {chunk} would unpack to more than its {most} bytes")


def _chunks(path: Path, array: str) -> Iterator[tuple[str, bytes, int]]:
    """(place, first bytes, length) of every chunk of an array of a zarr folder or zip file."""
    if path.is_file():
        yield from zarr_zip.chunks(path, array, BLOSC_HEADER.size)
        return
    folder = path / array
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith(".z") and file.name != "zarr.json":
            with open(file, "rb") as chunk:
                yield str(file.relative_to(folder)), chunk.read(BLOSC_HEADER.size), file.stat().st_size
