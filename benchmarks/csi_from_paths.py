"""Path parameters to CSI: ours against sionna-rt's `Paths.cfr` and DeepMIMO's `compute_channels`, on the same paths.

python -m benchmarks.csi_from_paths: one thread, in memory; what is not timed for any of them is tracing and reading.
DeepMIMO keeps array responses from call to call; each of its calls gets a data set of its own, as in practice.
"""

import contextlib
import io
import json

import deepmimo
import numpy as np
import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from benchmarks.timing import medians
from wavefoundry.csi.options import OFDM
from wavefoundry.csi.path_response import frequency_response, subcarrier_offsets
from wavefoundry.report.tables import markdown_table, significant
from wavefoundry.twin.array import element_positions
from wavefoundry.twin.options import Array
from wavefoundry.twin.scene import mi, rt

USERS, SLOTS, SLOT_DURATION, ROUNDS = 1000, 16, 5e-4, 3
ARRAY = Array(rows=1, columns=32, spacing=0.5, pattern="iso", polarisation="V")
SECTION = OFDM(subcarriers=32, subcarrier_spacing=180e3, timing_advance=0.0, links_per_call=256)
CARRIER, SPEED = 3.5e9, 14.0
BASE_STATION = (-33.0, 0.0, 20.0)


def trace():
    """Paths of sionna-rt in the street canyon; users on its road."""
    generator = np.random.default_rng(0)
    scene = rt.load_scene(rt.scene.simple_street_canyon)
    scene.frequency = CARRIER
    scene.tx_array = rt.PlanarArray(num_rows=1, num_cols=ARRAY.columns, pattern="iso", polarization="V")
    scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    scene.add(rt.Transmitter("base_station", mi.Point3f(BASE_STATION)))
    for user in range(USERS):
        at = mi.Point3f(float(generator.uniform(-20, 60)), float(generator.uniform(-6, 6)), 1.5)
        heading = generator.uniform(0, 2 * np.pi)
        velocity = mi.Vector3f(float(SPEED * np.cos(heading)), float(SPEED * np.sin(heading)), 0.0)
        scene.add(rt.Receiver(f"user_{user}", at, velocity=velocity))
    return rt.PathSolver()(scene, max_depth=3, samples_per_src=100_000, refraction=False, diffraction=True)


def to_dataset(found) -> xr.Dataset:
    """The paths of sionna-rt as a data set of kind "paths"."""
    valid = found.valid.numpy()[:, 0].astype(bool)
    zenith, azimuth = found.theta_t.numpy()[:, 0].astype(float), found.phi_t.numpy()[:, 0].astype(float)
    elements = element_positions(ARRAY)
    direction = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], -1)
    real, imaginary = (part.numpy()[:, 0, 0, 0, :, 0] for part in
                       found.cir(normalize_delays=False, num_time_steps=1, out_type="drjit")[0])  # fmt: skip
    # The first antenna's amplitude, moved to the centre of the array.
    amplitude = (real + 1j * imaginary) * np.exp(-2j * np.pi * (direction @ elements[0]))
    entries = {
        "delay": found.tau.numpy()[:, 0],
        "doppler": found.doppler.numpy()[:, 0],
        "zenith": zenith.astype(np.float32),
        "azimuth": azimuth.astype(np.float32),
    }
    dims = ("sample", "key", "path")
    return xr.Dataset(
        {name: (dims, np.where(valid, values, 0)[:, None]) for name, values in entries.items()}
        | {
            "amplitude": ((*dims, "polarisation"), np.where(valid, amplitude, 0).astype("c8")[:, None, :, None]),
            "valid": (dims, valid[:, None]),
        },
        coords={
            "time": np.arange(SLOTS) * SLOT_DURATION,
            "key_time": ("key", np.zeros(1)),
            "antenna": np.arange(ARRAY.antennas),
            "element_position": (("antenna", "xyz"), elements),
        },
        attrs={"carrier_frequency": CARRIER, "array_rows": ARRAY.rows, "array_columns": ARRAY.columns},
    )


def with_two_keys(paths: xr.Dataset) -> xr.Dataset:
    """The same paths as tracks from the first to the last slot: each moves by its own Doppler shift."""
    end = (SLOTS - 1) * SLOT_DURATION
    turned = paths["amplitude"] * np.exp(2j * np.pi * paths["doppler"].astype(float) * end)
    last = paths.assign(amplitude=turned.astype(np.complex64).transpose(*paths["amplitude"].dims))
    return xr.concat([paths, last], "key", data_vars="minimal", coords="minimal").assign_coords(
        key_time=("key", np.array([0.0, end]))
    )


def to_deepmimo(paths: xr.Dataset, found) -> tuple:
    """A DeepMIMO data set of the same paths, and the arguments of its `compute_channels`."""
    valid = paths["valid"].values[:, 0]
    amplitude = paths["amplitude"].values[:, 0, :, 0].astype(complex)

    def entry(values):
        return np.where(valid, values, np.nan).astype(np.float32)

    angles = {"aod_el": found.theta_t, "aod_az": found.phi_t, "aoa_el": found.theta_r, "aoa_az": found.phi_r}
    with np.errstate(divide="ignore"):
        power = 20 * np.log10(np.abs(amplitude))
    data = deepmimo.Dataset(
        {
            "power": entry(power),
            "phase": entry(np.rad2deg(np.angle(amplitude))),
            "delay": entry(paths["delay"].values[:, 0]),
            **{name: entry(np.rad2deg(values.numpy()[:, 0])) for name, values in angles.items()},
            "inter": entry(np.zeros(valid.shape)),
            "inter_pos": np.full((*valid.shape, 1, 3), np.nan, np.float32),
            "rx_pos": np.zeros((USERS, 3), np.float32),
            "tx_pos": np.array([BASE_STATION], np.float32),
        }
    )
    data.set_doppler(paths["doppler"].values[:, 0, : data.max_paths])
    parameters = deepmimo.ChannelParameters(
        bs_antenna={"shape": [ARRAY.columns, 1], "spacing": ARRAY.spacing},
        doppler=1,
        num_paths=valid.shape[1],
        ofdm={
            "subcarriers": SECTION.subcarriers,
            "selected_subcarriers": np.arange(SECTION.subcarriers),
            "bandwidth": SECTION.subcarriers * SECTION.subcarrier_spacing,
        },
    )
    return data, parameters


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    words = {
        "ours": "ours, one key (sionna-rt's model: constant delays and directions, phases by Doppler)",
        "ours_two_keys": "ours, two keys: delays and directions change from slot to slot, which neither peer does",
        "sionna_cfr": "sionna-rt `Paths.cfr`",
        "deepmimo": "DeepMIMO `compute_channels` with times",
    }
    seconds = result["seconds"]
    rows = [
        [words[name], f"{taken:.2f}", *(significant(taken / seconds[ours], 2) for ours in ("ours", "ours_two_keys"))]
        for name, taken in seconds.items()
    ]
    sizes = ("users", "slots", "antennas", "subcarriers", "paths")
    told = ", ".join(f"{result[size]} {size}" for size in sizes)
    error = f"relative difference to `Paths.cfr`: {result['relative_error_to_sionna_cfr']:.0e}"
    return f"{markdown_table(['', 'seconds', 'over one key', 'over two keys'], rows)}\n\n{told}; {error}."


@threadpool_limits.wrap(limits=1)
def main() -> None:
    torch.set_num_threads(1)
    found = trace()
    # sionna-rt shifts no delays; ours are shifted back by the delay of each user's first path.
    paths = to_dataset(found)
    first = np.where(paths["valid"], paths["delay"], np.inf).min(axis=2)
    offsets = subcarrier_offsets(SECTION)
    unsynchronised = np.exp(-2j * np.pi * first[:, 0, None, None, None] * offsets)
    tracks = with_two_keys(paths)
    times = paths["time"].values
    untouched = [to_deepmimo(paths, found) for _ in range(ROUNDS + 1)]

    def sionna():
        return found.cfr(
            frequencies=mi.Float(offsets), sampling_frequency=1 / SLOT_DURATION, num_time_steps=SLOTS,
            normalize_delays=False, out_type="numpy",
        )  # fmt: skip

    def peer_deepmimo():
        data, parameters = untouched.pop()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return data.compute_channels(parameters, times=times)

    functions = {
        "ours": lambda: frequency_response(paths, SECTION),
        "ours_two_keys": lambda: frequency_response(tracks, SECTION),
        "sionna_cfr": sionna,
        "deepmimo": peer_deepmimo,
    }
    expected = sionna()[:, 0, 0].transpose(0, 2, 1, 3)
    error = relative_error(functions["ours"]().numpy() * unsynchronised, expected)
    seconds = medians(functions, ROUNDS)
    print(json.dumps({
        "benchmark": "csi_from_paths",
        "users": USERS, "slots": SLOTS, "antennas": ARRAY.antennas, "subcarriers": SECTION.subcarriers,
        "paths": paths.sizes["path"], "threads": 1, "seconds": seconds,
        "times_faster_than": {name: seconds[name] / seconds["ours"] for name in ("sionna_cfr", "deepmimo")},
        "times_faster_with_two_keys_than": {
            name: seconds[name] / seconds["ours_two_keys"] for name in ("sionna_cfr", "deepmimo")
        },
        "relative_error_to_sionna_cfr": error,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
