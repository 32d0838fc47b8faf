"""Files of arrays as MATLAB, numpy and zarr write them, and the section of params.yaml that reads them."""

import h5py
import numpy as np
import scipy.io
import xarray as xr
import zarr

from wavefoundry.imports.arrays import read_arrays
from wavefoundry.imports.options import ImportedArrays

SLOTS, SUBCARRIERS = 6, 5
ARRAY = {"rows": 2, "columns": 3, "spacing": 0.5, "pattern": "iso", "polarisation": "VH"}
PLAIN = ["sample", "time", "antenna", "subcarrier"]


def block(variable, file=None, slot=0, subcarrier=0, imaginary=None):
    return {"file": file, "variable": variable, "imaginary": imaginary, "slot": slot, "subcarrier": subcarrier}


def section(files, kind="npz", **changes) -> ImportedArrays:
    values = {
        "kind": kind,
        "files": str(files),
        "blocks": {"any": [block("csi")]},
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "axes": PLAIN,
        "trajectory": None,
        "speed": None,
        "blocked": "refuse",
        "unknown_is_zero": False,
        "carrier_frequency": 2.4e9,
        "array": ARRAY,
        "slots": SLOTS,
        "slot_duration": 5e-4,
        "subcarriers": SUBCARRIERS,
        "subcarrier_spacing": 180e3,
        "samples_per_call": 3,
    }
    return ImportedArrays.model_validate(values | changes)


def channel(samples, seed=0, slots=SLOTS, subcarriers=SUBCARRIERS):
    parts = np.random.default_rng(seed).standard_normal((2, samples, slots, 12, subcarriers), np.float32)
    return parts[0] + 1j * parts[1]


def read(section, seed=0):
    return xr.concat(list(read_arrays(section, seed)), "sample", data_vars="minimal")


def save(kind, path, **variables):
    """Write a file as MATLAB or Python would; returns its path."""
    if kind == "mat5":
        scipy.io.savemat(path / "data.mat", variables)
    elif kind == "mat7.3":
        with h5py.File(path / "data.mat", "w", userblock_size=512) as file:
            for name, values in variables.items():
                # MATLAB's order of axes, and its pairs of fields for complex numbers.
                values = np.asarray(values).T
                if values.dtype.kind == "c":
                    real = values.real.dtype
                    pairs = np.empty(values.shape, [("real", real), ("imag", real)])
                    pairs["real"], pairs["imag"] = values.real, values.imag
                    values = pairs
                file[name] = values
            file.create_group("#refs#")
    elif kind == "npz":
        np.savez(path / "data.npz", **variables)
        return path / "data.npz"
    else:
        group = zarr.open_group(path / "data.zarr", mode="w", zarr_format=int(kind[-1]))
        for name, values in variables.items():
            chunks = (2, *np.shape(values)[1:]) if np.ndim(values) else ()
            group.create_array(name, data=np.asarray(values), chunks=chunks)
        return path / "data.zarr"
    return path / "data.mat"


FORMATS = ("mat5", "mat7.3", "npz", "zarr2", "zarr3")


def kind_of(form):
    return form.rstrip("0123456789.")
