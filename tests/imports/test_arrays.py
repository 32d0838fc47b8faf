"""Imported arrays come out as they were written, whatever their axes and format; faults are named."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.imports.array_files import (
    ARRAY,
    FORMATS,
    PLAIN,
    SLOTS,
    SUBCARRIERS,
    block,
    channel,
    kind_of,
    read,
    save,
    section,
)
from tests.imports.documented import documented
from wavefoundry.errors import InputError
from wavefoundry.imports.arrays import read_arrays

LENGTHS = {"time": SLOTS, "subcarrier": SUBCARRIERS, "antenna": 12, "polarisation": 2, "row": 2, "column": 3}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_round_trips_exactly(tmp_path, form):
    csi = channel(8)
    files = save(form, tmp_path, csi=csi, other=np.arange(3.0))
    parts = list(read_arrays(section(files, kind_of(form)), seed=1))
    assert [part.sizes["sample"] for part in parts] == [3, 3, 2]
    found = xr.concat(parts, "sample", data_vars="minimal")
    np.testing.assert_array_equal(found["csi"].values, csi)
    assert found["csi"].dtype == np.complex64
    assert np.bincount(found["split"].values).tolist() == [4, 2, 2]
    np.testing.assert_array_equal(found["trajectory"].values, np.arange(8))
    np.testing.assert_allclose(found["subcarrier"].values, (np.arange(5) - 2) * 180e3)
    np.testing.assert_allclose(found["time"].values, np.arange(6) * 5e-4)


@st.composite
def orders(draw):
    antennas = draw(st.sampled_from([["antenna"], ["polarisation", "row", "column"]]))
    samples = draw(st.sampled_from([["sample"], ["sample", "sample"]]))
    parts = draw(st.sampled_from([[], ["complex"]]))
    return draw(st.permutations([*samples, "time", *antennas, "subcarrier", *parts]))


@settings(max_examples=40)
@given(axes=orders(), form=st.sampled_from(["mat5", "mat7.3", "npz", "zarr3"]), step=st.integers(1, 7))
def test_any_order_of_axes(tmp_path_factory, axes, form, step):
    """What was written in any order of axes, with antennas on one axis or three, comes out as the channel it was."""
    csi = channel(6)
    names = ["sample", "sample"] if axes.count("sample") == 2 else ["sample"]
    lengths = [2, 3] if len(names) == 2 else [6]
    antennas = ["antenna"] if "antenna" in axes else ["polarisation", "row", "column"]
    ours = [*names, "time", *antennas, "subcarrier"]
    values = csi.reshape([*lengths, *(LENGTHS[axis] for axis in ours[len(names) :])])
    if "complex" in axes:
        values, ours = np.stack([values.real, values.imag]), ["complex", *ours]
    left = list(enumerate(ours))
    order = []
    for axis in axes:
        # Sample axes keep their order.
        position = next(index for index, name in left if name == axis)
        left.remove((position, axis))
        order.append(position)
    files = save(form, tmp_path_factory.mktemp("axes"), csi=np.ascontiguousarray(values.transpose(order)))
    found = read(section(files, kind_of(form), axes=axes, samples_per_call=step))
    np.testing.assert_array_equal(found["csi"].values, csi)


def save_mat(form: str, file: Path, **variables) -> None:
    """Write a MATLAB file of any name."""
    save(form, file.parent, **variables).rename(file)


@pytest.mark.parametrize("form", ["mat5", "mat7.3"])
def test_the_published_files_of_wifo_are_read_as_documented(tmp_path, form):
    """D1: axes sample, time, antenna, subcarrier; the variables of two files are crossed."""
    generator = np.random.default_rng(0)
    written = {}
    for file, variable, samples in (("X_train", "X_train", 4), ("X_test", "X_val", 2), ("X_val", "X_test", 3)):
        parts = generator.standard_normal((2, samples, 24, 4, 128), np.float32)
        written[variable] = parts[0] + 1j * parts[1]
        save_mat(form, tmp_path / f"{file}.mat", **{variable: written[variable]})
    found = read(documented("wifo_d1", tmp_path))
    assert dict(found["csi"].sizes) == {"sample": 9, "time": 24, "antenna": 4, "subcarrier": 128}
    for split, variable in enumerate(("X_train", "X_val", "X_test")):
        np.testing.assert_array_equal(found["csi"].values[found["split"].values == split], written[variable])


@pytest.mark.parametrize("form", ["mat5", "mat7.3"])
def test_the_published_files_of_llm4cp_are_read_as_documented(tmp_path, form):
    """Axes speed, user, slot, subcarrier, column, row, polarisation; antennas are ours: polarisation, row, column."""
    parts = np.random.default_rng(0).standard_normal((2, 10, 2, 20, 48, 4, 4, 2), np.float32)
    whole = parts[0] + 1j * parts[1]
    for name, slots in (("H_U_his_train", slice(0, 16)), ("H_U_pre_train", slice(16, 20))):
        save_mat(form, tmp_path / f"{name}.mat", **{name: whole[:, :, slots]})
    found = read(documented("llm4cp", tmp_path))
    ours = whole.reshape(20, 20, 48, 4, 4, 2).transpose(0, 1, 5, 4, 3, 2).reshape(20, 20, 32, 48)
    np.testing.assert_array_equal(found["csi"].values, ours)
    np.testing.assert_allclose(3.6 * found["speed"].values, np.linspace(10.1, 100, 10).repeat(2), rtol=1e-3)


def test_an_array_of_ones_own_is_read_as_documented(tmp_path):
    parts = np.random.default_rng(0).standard_normal((2, 10, 16, 16, 32), np.float32)
    csi = parts[0] + 1j * parts[1]
    np.savez(tmp_path / "measured.npz", csi=csi)
    found = read(documented("measured", tmp_path / "measured.npz"))
    np.testing.assert_array_equal(found["csi"].values, csi)
    assert np.bincount(found["split"].values).tolist() == [7, 1, 2]


def test_files_for_each_split(tmp_path):
    sets = {"train": channel(4, 1), "validation": channel(2, 2), "test": channel(3, 3)}
    names = {"train": ("X_train.mat", "X_train"), "validation": ("X_val.mat", "X_val"), "test": ("X_test.mat", "X_val")}
    for split, (file, variable) in names.items():
        scipy.io.savemat(tmp_path / file, {variable: sets[split]})
    blocks = {split: [block(variable, file)] for split, (file, variable) in names.items()}
    found = read(section(tmp_path, "mat", blocks=blocks, split=None))
    np.testing.assert_array_equal(found["csi"].values, np.concatenate(list(sets.values())))
    assert found["split"].values.tolist() == [0] * 4 + [1] * 2 + [2] * 3
    assert len(np.unique(found["trajectory"].values)) == 9
    assert "speed" not in found


def test_past_and_future_bands_are_joined(tmp_path):
    """LLM4CP: past uplink, future uplink, future downlink in the adjacent band; axes of speed and of drops."""
    whole = channel(6, slots=SLOTS, subcarriers=10)
    axes = ["sample", "sample", "time", "subcarrier", "column", "row", "polarisation"]
    parts = {"H_U_his": (slice(0, 4), slice(0, 5)), "H_U_pre": (slice(4, 6), slice(0, 5))}
    parts["H_D_pre"] = (slice(4, 6), slice(5, 10))
    for name, (slots, band) in parts.items():
        values = whole[:, slots, :, band].reshape(3, 2, -1, 2, 2, 3, 5).transpose(0, 1, 2, 6, 5, 4, 3)
        scipy.io.savemat(tmp_path / f"{name}.mat", {f"{name}_test": values})
    blocks = [block(f"{name}_test", f"{name}.mat", s.start, b.start) for name, (s, b) in parts.items()]
    names = {"axes": axes, "subcarriers": 10, "unknown_is_zero": True, "speed": [2.0, 4.0], "samples_per_call": 4}
    found = read(section(tmp_path, "mat", blocks={"any": blocks}, **names))
    np.testing.assert_array_equal(found["csi"].values[..., :5], whole[..., :5])
    np.testing.assert_array_equal(found["csi"].values[:, 4:, :, 5:], whole[:, 4:, :, 5:])
    assert (found["csi"].values[:, :4, :, 5:] == 0).all()
    np.testing.assert_allclose(found["speed"].values, [2, 2, 3, 3, 4, 4])
    with pytest.raises(InputError, match=r"no block holds slot, subcarrier \[0, 5\] of the 6 x 10"):
        read(section(tmp_path, "mat", blocks={"any": blocks}, **names | {"unknown_is_zero": False}))
    with pytest.raises(InputError, match=r"overlap at slot, subcarrier \[4, 0\]"):
        read(section(tmp_path, "mat", blocks={"any": [*blocks, blocks[1]]}, **names))


def test_trajectories_stay_in_one_split(tmp_path):
    number = np.repeat([7, 3, 9, 4], 3)
    files = save("npz", tmp_path, csi=channel(12), user=number)
    found = read(section(files, trajectory="user"))
    pairs = {(int(a), int(b)) for a, b in zip(number, found["split"].values, strict=True)}
    assert len(pairs) == 4 and sorted(split for _, split in pairs) == [0, 0, 1, 2]
    again, other = (read(section(files, trajectory="user"), seed)["split"].values for seed in (0, 1))
    np.testing.assert_array_equal(found["split"].values, again)
    assert (again != other).any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1j])
def test_numbers_of_trajectories_are_finite_and_real(tmp_path, wrong):
    """All NaN would count as one user, whose samples are of many."""
    files = save("npz", tmp_path, csi=channel(8), user=np.arange(8) + np.where(np.arange(8) < 2, wrong, 0))
    with pytest.raises(InputError, match="'user' has complex, NaN or infinite values, expected a number for each traj"):
        read(section(files, trajectory="user"))


def test_each_group_numbers_its_own_trajectories(tmp_path):
    names = ("train", "validation", "test")
    for index, name in enumerate(names):
        np.savez(tmp_path / f"{name}.npz", csi=channel(4, index), user=[5, 5, 9, 9])
    blocks = {name: [block("csi", f"{name}.npz")] for name in names}
    found = read(section(tmp_path, blocks=blocks, split=None, trajectory="user"))
    np.testing.assert_array_equal(found["trajectory"].values, np.arange(6).repeat(2))


def test_matlab_drops_last_axes_of_size_one(tmp_path):
    csi = channel(4)[:, :, :1]
    single = ARRAY | {"rows": 1, "columns": 1, "polarisation": "V"}
    files = save("mat5", tmp_path, csi=csi[:, :, 0])
    found = read(section(files, "mat", array=single, axes=["sample", "time", "subcarrier", "antenna"]))
    np.testing.assert_array_equal(found["csi"].values, csi)
    with pytest.raises(InputError, match="4 x 6 x 5, which does not fit axes"):
        read(section(save("npz", tmp_path, csi=csi[:, :, 0]), array=single, axes=PLAIN))


@pytest.mark.parametrize("form", ["mat5", "mat7.3"])
@pytest.mark.parametrize(
    "axes", [["time", "subcarrier", "antenna", "sample"], ["time", "antenna", "subcarrier", "sample", "sample"]]
)
def test_one_sample_along_last_axes_that_matlab_drops(tmp_path, form, axes):
    csi = channel(3)
    names = ("train", "validation", "test")
    for index, name in enumerate(names):
        (tmp_path / name).mkdir()
        order = [["time", "antenna", "subcarrier"].index(axis) for axis in axes if axis != "sample"]
        save(form, tmp_path / name, csi=csi[index].transpose(order))
    blocks = {name: [block("csi", f"{name}/data.mat")] for name in names}
    found = read(section(tmp_path, "mat", blocks=blocks, split=None, axes=axes))
    np.testing.assert_array_equal(found["csi"].values, csi)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, form, bad):
    csi = channel(8)
    csi[5, 2, 3, 1] = bad
    with pytest.raises(InputError, match=r"data\.\w+: 'csi': sample 5 has NaN or infinite values"):
        read(section(save(form, tmp_path, csi=csi), kind_of(form)))


def test_an_empty_sample_is_refused(tmp_path):
    csi = channel(8)
    csi[6] = 0
    with pytest.raises(InputError, match="sample 6 has only zeros"):
        read(section(save("npz", tmp_path, csi=csi)))


@pytest.mark.parametrize("form", FORMATS)
def test_faults_of_files_are_named(tmp_path, form):
    kind = kind_of(form)
    files = save(form, tmp_path, csi=channel(8), noise=np.ones((8, 6, 12, 5)))
    with pytest.raises(InputError, match="no variable 'X_train'; found: csi, noise"):
        read(section(files, kind, blocks={"any": [block("X_train")]}))
    with pytest.raises(InputError, match=r"8 x 6 x 12 x 5, which does not fit axes: sample, subcarrier up to 5, ant"):
        read(section(files, kind, axes=["sample", "subcarrier", "antenna", "time"]))
    with pytest.raises(InputError, match="'noise' holds real numbers; axes must name an axis complex"):
        read(section(files, kind, blocks={"any": [block("noise")]}))
    with pytest.raises(InputError, match=r"absent: no such file"):
        read(section(files.with_name("absent"), kind))
    text = tmp_path / "text"
    text.write_text("no data")
    with pytest.raises(InputError, match="cannot be read as"):
        read(section(text, kind))


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", csi=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="'csi' holds Python objects; pickles are refused"):
        read(section(tmp_path / "data.npz"))
    (tmp_path / "data.p").write_bytes(b"\x80\x04}\x94.")
    with pytest.raises(InputError, match="pickles are refused"):
        read(section(tmp_path / "data.p"))
    scipy.io.savemat(tmp_path / "data.mat", {"csi": np.array([["a", "text"]], dtype=object)})
    with pytest.raises(InputError, match="expected real or complex numbers"):
        read(section(tmp_path / "data.mat", "mat"))


def test_a_store_with_another_carrier_is_refused(tmp_path):
    files = save("zarr3", tmp_path, csi=channel(8))
    group = zarr.open_group(files)
    group.attrs["carrier_frequency"] = 3.5e9
    with pytest.raises(InputError, match=r"carrier_frequency 3\.5e\+09 Hz, the parameters 2\.4e\+09 Hz"):
        read(section(files, "zarr"))
    group.attrs["carrier_frequency"] = 2.4e9
    assert read(section(files, "zarr")).sizes["sample"] == 8


def test_every_split_needs_a_sample(tmp_path):
    files = save("npz", tmp_path, csi=channel(8))
    with pytest.raises(InputError, match="no sample for the split test"):
        read(section(files, split={"train": 0.5, "validation": 0.5, "test": 0.0}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": ["sample", "time", "antenna"]}, "subcarrier is missing"),
        ({"axes": ["sample", "time", "time", "antenna", "subcarrier"]}, "time is there 2 times"),
        ({"axes": [*PLAIN, "row"]}, "either antenna or its parts"),
        ({"axes": ["sample", "time", "row", "column", "subcarrier"]}, "polarisation is missing, the array has 2"),
        ({"axes": [*PLAIN, "delay"]}, "axes"),
        ({"split": None}, "split divides the samples of blocks.any"),
        ({"split": {"train": 0.5, "validation": 0.2, "test": 0.2}}, "must be 1"),
        ({"blocks": {"any": [block("csi", slot=6)]}}, "begins at slot 6"),
        ({"carrier_frequency": None}, "carrier_frequency"),
        ({"speed": [3.0, 1.0]}, "smallest, largest"),
    ],
)
def test_facts_must_be_stated(changes, message):
    with pytest.raises(ValidationError, match=message):
        section("data.npz", **changes)


def test_shape_is_known_without_the_file():
    stated = section("absent.npz")
    assert stated.shape == (SLOTS, 12, SUBCARRIERS) and stated.array.columns == 3
