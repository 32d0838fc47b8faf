"""Random paths for the tests of CSI."""

import numpy as np
import xarray as xr

from wavefoundry.csi.options import OFDM

CARRIER = 3.5e9
ENTRY = ("sample", "key", "path")


def ofdm(**changes) -> OFDM:
    values = {"subcarriers": 8, "subcarrier_spacing": 180e3, "timing_advance": 2e-7, "links_per_call": 100}
    return OFDM(**(values | changes))


def draw_paths(seed: int, links: int, paths: int, slots: int, antennas: int, keys: int = 1, polarisations: int = 1):
    """A paths data set of random tracks, some entries empty; nothing ties the keys of a track together."""
    generator = np.random.default_rng(seed)
    shape = (links, keys, paths)
    valid = generator.random(shape) < 0.7
    valid[:, :, 0] = True
    amplitude = generator.normal(size=(*shape, polarisations)) + 1j * generator.normal(size=(*shape, polarisations))
    entries = {
        "delay": generator.uniform(1e-7, 5e-6, shape),
        "doppler": generator.uniform(-400, 400, shape),
        "zenith": generator.uniform(0, np.pi, shape),
        "azimuth": generator.uniform(-np.pi, np.pi, shape),
    }
    time = np.arange(slots) * 5e-4
    return xr.Dataset(
        {
            "amplitude": ((*ENTRY, "polarisation"), np.where(valid[..., None], amplitude, 0).astype(np.complex64)),
            **{name: (ENTRY, np.where(valid, values, 0).astype(np.float32)) for name, values in entries.items()},
            "valid": (ENTRY, valid),
        },
        coords={
            "time": time,
            "key_time": ("key", np.linspace(0, time[-1], keys) if keys > 1 else np.zeros(1)),
            "antenna": np.arange(polarisations * antennas),
            "element_position": (
                ("antenna", "xyz"),
                np.tile(generator.uniform(-4, 4, (antennas, 3)), (polarisations, 1)),
            ),
        },
        attrs={"carrier_frequency": CARRIER, "array_rows": 1, "array_columns": antennas},
    )


def departure(data: xr.Dataset) -> np.ndarray:
    """Unit vectors (sample, key, path, 3)."""
    zenith, azimuth = data["zenith"].values.astype(float), data["azimuth"].values.astype(float)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], -1)
