"""Numeric arrays in MATLAB, npz and zarr files, read in parts where the format allows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavefoundry.errors import InputError


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes:
        name: file and variable, for messages.
        shape: in the order of MATLAB's or Python's indices.
        complex: whether its numbers are complex.
        read: (axis, slice) -> the part of the array with these indices on that axis.
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
        InputError: no such file or variable, a file of another kind, or no array of numbers.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    with {"mat": _mat, "npz": _npz, "zarr": _zarr}[kind](path, variable) as array:
        yield array


def _missing(path: Path, variable: str, found) -> InputError:
    names = ", ".join(sorted(name for name in found if not name.startswith("#"))) or "nothing"
    return InputError(f"{path}: no variable {variable!r}; found: {names}")


def _require_numbers(name: str, dtype: np.dtype) -> None:
    if dtype.kind not in "iufc":
        raise InputError(f"{name} holds {dtype}, expected real or complex numbers")


def _in_memory(name: str, values: np.ndarray) -> StoredArray:
    _require_numbers(name, values.dtype)
    return StoredArray(
        name, values.shape, values.dtype.kind == "c", lambda axis, part: values[(slice(None),) * axis + (part,)]
    )


@contextmanager
def _mat(path: Path, variable: str) -> Iterator[StoredArray]:
    import h5py
    import scipy.io

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            yield _hdf5(path, variable, file)
        return
    try:
        found = [name for name, *_ in scipy.io.whosmat(path)]
        values = scipy.io.loadmat(path, variable_names=[variable]).get(variable)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a MATLAB file: {error}") from None
    if variable not in found:
        raise _missing(path, variable, found)
    yield _in_memory(f"{path}: {variable!r}", np.asarray(values))


def _hdf5(path: Path, variable: str, file) -> StoredArray:
    """A variable of a v7.3 file: axes in reverse order, complex numbers as pairs of fields."""
    import h5py

    if variable not in file:
        raise _missing(path, variable, file)
    data, name = file[variable], f"{path}: {variable!r}"
    if not isinstance(data, h5py.Dataset):
        raise InputError(f"{name} is a struct or cell array, expected an array of numbers")
    is_complex = data.dtype.names == ("real", "imag")
    _require_numbers(name, data.dtype["real"] if is_complex else data.dtype)

    def read(axis: int, part: slice) -> np.ndarray:
        values = data[(slice(None),) * (data.ndim - 1 - axis) + (part,)]
        if is_complex:
            values = values["real"] + 1j * values["imag"]
        return values.T

    return StoredArray(name, data.shape[::-1], is_complex or data.dtype.kind == "c", read)


@contextmanager
def _npz(path: Path, variable: str) -> Iterator[StoredArray]:
    name = f"{path}: {variable!r}"
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception:
        raise InputError(f"{path}: cannot be read as an npz file of arrays; pickles are refused") from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"{path}: holds one array without a name, expected an npz file")
    with archive:
        if variable not in archive.files:
            raise _missing(path, variable, archive.files)
        try:
            values = archive[variable]
        except ValueError:
            raise InputError(f"{name} holds Python objects; pickles are refused") from None
        yield _in_memory(name, values)


@contextmanager
def _zarr(path: Path, variable: str) -> Iterator[StoredArray]:
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
    except Exception:
        raise InputError(f"{path}: cannot be read as a zarr group") from None
    array = group.get(variable)
    if not isinstance(array, zarr.Array):
        raise _missing(path, variable, dict(group.arrays()))
    name = f"{path}: {variable!r}"
    _require_numbers(name, array.dtype)

    def read(axis: int, part: slice) -> np.ndarray:
        try:
            return array[(slice(None),) * axis + (part,)]
        except Exception as error:
            raise InputError(f"{name} is damaged: {error}") from None

    yield StoredArray(name, array.shape, array.dtype.kind == "c", read, group.attrs.get("carrier_frequency"))
