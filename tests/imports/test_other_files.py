"""CSI in the other forms in which people have it: parts apart, npy, structs and cells, zarr at the root and in zip."""

import zipfile

import numpy as np
import pytest
import scipy.io
import zarr
from pydantic import ValidationError

from tests.imports.array_files import ARRAY, PLAIN, SLOTS, block, channel, read, save, section
from wavefoundry.errors import InputError

FORMS = ("mat5", "mat7.3", "npz", "zarr3")
NAMELESS = {"any": [block(None)]}


@pytest.mark.parametrize("form", FORMS)
def test_real_and_imaginary_part_in_two_variables(tmp_path, form):
    csi = channel(8)
    files = save(form, tmp_path, H_real=csi.real, H_imag=csi.imag, few=csi.imag[:4])
    kind = form.rstrip("0123456789.")
    found = read(section(files, kind, blocks={"any": [block("H_real", imaginary="H_imag")]}))
    np.testing.assert_array_equal(found["csi"].values, csi)
    with pytest.raises(InputError, match=r"'few' has shape 4 x 6 x 12 x 5, .*'H_real' 8 x 6 x 12 x 5"):
        read(section(files, kind, blocks={"any": [block("H_real", imaginary="few")]}))


def test_a_part_that_is_complex_itself_is_refused(tmp_path):
    csi = channel(8)
    files = save("npz", tmp_path, csi=csi, imaginary=csi.imag)
    with pytest.raises(InputError, match="'csi' holds complex numbers, expected real ones"):
        read(section(files, blocks={"any": [block("csi", imaginary="imaginary")]}))


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_file(tmp_path, order):
    csi = channel(8)
    np.save(tmp_path / "data.npy", np.asarray(csi, order=order))
    found = read(section(tmp_path / "data.npy", "npy", blocks=NAMELESS))
    np.testing.assert_array_equal(found["csi"].values, csi)


def test_damaged_npy_files_are_one_line(tmp_path):
    np.save(tmp_path / "data.npy", channel(8))
    content = (tmp_path / "data.npy").read_bytes()
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes(content[:-1])
    (tmp_path / "head.npy").write_bytes(content[:40])
    (tmp_path / "text.npy").write_text("no data")
    for name in ("objects", "cut", "head", "text"):
        with pytest.raises(InputError, match=rf"{name}\.npy: is no whole npy file of an array of numbers"):
            read(section(tmp_path / f"{name}.npy", "npy", blocks=NAMELESS))


def test_matlab_structs_and_cells(tmp_path):
    csi = channel(8)
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.zeros((2, 2)), csi
    content = {"channel": {"H": csi, "about": {"site": "here"}}, "sets": cells}
    scipy.io.savemat(tmp_path / "data.mat", content)
    for variable in ("channel/H", "sets/2"):
        found = read(section(tmp_path / "data.mat", "mat", blocks={"any": [block(variable)]}))
        np.testing.assert_array_equal(found["csi"].values, csi)
    for variable, message in (
        ("channel", "expected real or complex numbers: a struct holds H, about"),
        ("channel/G", "'G' is not there; a struct holds H, about"),
        ("sets/3", "'3' is not there; cells of 1 x 2 are numbered 1 to 2"),
        ("sets", "cells of 1 x 2 are numbered 1 to 2, named as sets/NAME"),
        ("channel/H/x", "'x' is not there; an array of complex64 holds no others"),
        ("other/H", "no variable 'other'; found: channel, sets"),
    ):
        with pytest.raises(InputError, match=message):
            read(section(tmp_path / "data.mat", "mat", blocks={"any": [block(variable)]}))


@pytest.mark.parametrize("form", [2, 3])
def test_a_zarr_array_at_the_root(tmp_path, form):
    csi = channel(8)
    array = zarr.create_array(tmp_path / "data.zarr", data=csi, chunks=(2, *csi.shape[1:]), zarr_format=form)
    array.attrs["carrier_frequency"] = 2.4e9
    found = read(section(tmp_path / "data.zarr", "zarr", blocks=NAMELESS))
    np.testing.assert_array_equal(found["csi"].values, csi)
    with pytest.raises(InputError, match="carrier_frequency"):
        read(section(tmp_path / "data.zarr", "zarr", blocks=NAMELESS, carrier_frequency=28e9))
    with pytest.raises(InputError, match=r"data\.zarr: is a zarr group, variable is null; found: csi"):
        read(section(save("zarr3", tmp_path, csi=csi), "zarr", blocks=NAMELESS))


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize("variable", [None, "csi"])
def test_zarr_in_a_zip_file(tmp_path, form, variable):
    csi = channel(8)
    with zarr.storage.ZipStore(tmp_path / "data.zip", mode="w") as store:
        chunks = {"chunks": (2, *csi.shape[1:]), "compressors": zarr.codecs.BloscCodec() if form == 3 else "auto"}
        if variable is None:
            zarr.create_array(store, data=csi, zarr_format=form, **chunks)
        else:
            zarr.create_group(store, zarr_format=form).create_array(variable, data=csi, **chunks)
    stated = section(tmp_path / "data.zip", "zarr", blocks={"any": [block(variable)]})
    np.testing.assert_array_equal(read(stated)["csi"].values, csi)


def test_a_zip_file_that_is_no_zarr_store(tmp_path):
    (tmp_path / "data.zip").write_text("no data")
    with pytest.raises(InputError, match=r"data\.zip: cannot be read as a zarr store: it is no folder and no zip file"):
        read(section(tmp_path / "data.zip", "zarr"))
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("csi/c/0", bytes(300 * 2**20))
    with pytest.raises(InputError, match="'csi/c/0' would unpack to 314572800 bytes"):
        read(section(tmp_path / "data.zip", "zarr"))


@pytest.mark.parametrize("bad", [0, np.nan])
def test_users_without_paths_are_left_out_where_that_is_asked_for(tmp_path, bad):
    csi = channel(12)
    csi[[2, 3, 4, 7]] = bad  # all of one part among them
    files = save("npz", tmp_path, csi=csi)
    with pytest.raises(InputError, match=r"sample 2 has only zeros or NaN: .*\(blocked: drop leaves such samples out"):
        read(section(files))
    found = read(section(files, blocked="drop"))
    kept = [0, 1, 5, 6, 8, 9, 10, 11]
    np.testing.assert_array_equal(found["csi"].values, csi[kept])
    np.testing.assert_array_equal(found["trajectory"].values, kept)
    assert found.attrs["windows_total"] == 12


def test_damaged_samples_are_never_left_out(tmp_path):
    csi = channel(12)
    csi[5, 3] = np.nan
    csi[7] = 0
    with pytest.raises(InputError, match="sample 5 has NaN or infinite values"):
        read(section(save("npz", tmp_path, csi=csi), blocked="drop"))


def test_a_split_without_a_sample_that_is_left_is_refused(tmp_path):
    sets = {"train": channel(4, 1), "validation": channel(2, 2), "test": np.zeros((3, SLOTS, 12, 5), np.complex64)}
    blocks = {name: [block(name)] for name in sets}
    with pytest.raises(InputError, match="no sample for the split test; 3 of 9 samples have no path"):
        read(section(save("npz", tmp_path, **sets), blocks=blocks, split=None, blocked="drop"))


@pytest.mark.parametrize("trajectory", [None, "user"])
@pytest.mark.parametrize("last", [False, True])
def test_receive_antennas_of_a_user_stay_in_one_split(tmp_path, trajectory, last):
    """Each antenna is a sample; all of one user, also of several drops of it, share its trajectory."""
    csi = channel(24).reshape(12, 2, SLOTS, 12, 5)
    user = np.repeat(np.arange(4), 3)
    axes = ["sample", "receive_antenna", *PLAIN[1:]]
    values = csi
    if last:
        axes, values = [*PLAIN, "receive_antenna"], np.moveaxis(csi, 1, -1)
    files = save("npz", tmp_path, csi=values, user=user, each=np.arange(24))
    found = read(section(files, axes=axes, trajectory=trajectory))
    np.testing.assert_array_equal(found["csi"].values, csi.reshape(24, SLOTS, 12, 5))
    expected = np.arange(12).repeat(2) if trajectory is None else user.repeat(2)
    np.testing.assert_array_equal(found["trajectory"].values, expected)
    pairs = set(zip(expected.tolist(), found["split"].values.tolist(), strict=True))
    assert len(pairs) == len(np.unique(expected))
    with pytest.raises(InputError, match=r"'each' has 24 values, .* 12 samples \(not of each receive antenna\)"):
        read(section(files, axes=axes, trajectory="each"))


@pytest.mark.parametrize("axes", [PLAIN, ["antenna", "sample", "subcarrier"]])
def test_snapshots(tmp_path, axes):
    csi = channel(8, slots=1)
    values = csi if "time" in axes else csi[:, 0].transpose(1, 0, 2)
    found = read(section(save("npz", tmp_path, csi=values), slots=1, axes=axes))
    np.testing.assert_array_equal(found["csi"].values, csi)
    assert found["time"].values.tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": ["sample", "antenna", "subcarrier"]}, "time is missing"),
        ({"blocks": {"any": [block("csi", "data.npz")]}}, r"file is 'data\.npz', a name in the folder.*file: null"),
        ({"kind": "mat"}, r"files is 'data\.npz', but kind is mat; a name in \.npz needs kind: npz"),
        (
            {"files": "folder", "blocks": {"any": [block("csi", "data.mat")]}},
            r"blocks\.any: file is 'data\.mat', but kind is npz; a name in \.mat needs kind: mat",
        ),
        ({"blocks": NAMELESS}, "variable is null, allowed for npy and zarr"),
        ({"files": "data.npy", "kind": "npy"}, "variable is 'csi', but an npy file holds one array"),
        ({"files": "data.zarr", "kind": "zarr", "blocks": NAMELESS, "trajectory": "user"}, "trajectory is 'user'"),
        (
            {"files": "data.zarr", "kind": "zarr", "blocks": {"any": [block(None, imaginary="part")]}},
            "imaginary is 'part', a variable beside `variable`, which is null",
        ),
        (
            {"files": "folder", "blocks": {"any": [block("csi", "../a.npz")]}},
            r"blocks\.any: file is '\.\./a\.npz', allowed: a name or path inside the folder `files`, 'folder'",
        ),
        (
            {"files": "folder", "blocks": {"any": [block("csi", "/a.npz")]}},
            r"file is '/a\.npz', .*not an absolute path",
        ),
        ({"blocks": {"any": [block("csi", imaginary="csi")]}}, "imaginary is 'csi' as variable is"),
        (
            {"files": "folder", "split": None}
            | {"blocks": {"train": [block("csi", "a.npz")], "test": [block("csi", "./a.npz")]}},
            r"blocks\.test: variable 'csi' of file '\./a\.npz' is in blocks\.train already",
        ),
        ({"axes": [*PLAIN, "receive_antenna", "receive_antenna"]}, "receive_antenna is there 2 times"),
        ({"blocked": "keep"}, "'refuse' or 'drop'"),
        ({"array": ARRAY | {"rows": 0}}, "array"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_file_is_opened(changes, message):
    stated = {"files": "data.npz"} | changes
    with pytest.raises(ValidationError, match=message):
        section(**stated)
