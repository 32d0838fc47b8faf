"""A damaged or hostile file gives the values that were written, or one line that names it; nothing else, and no other
file of this machine is read."""

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import zarr

from tests.imports.array_files import channel, kind_of, read, save, section
from tests.imports.scenario_files import section as deepmimo
from wavefoundry.errors import InputError
from wavefoundry.imports import limits
from wavefoundry.imports.deepmimo import read_deepmimo
from wavefoundry.imports.files import open_array

CSI = channel(8)
# A changed byte of the numbers themselves is noticed where the format has a checksum.
WITH_CHECKSUM = ("npz", "npz_packed", "mat5_packed", "mat7.3_packed", "zarr3_checked")
FORMS = (*WITH_CHECKSUM, "mat5", "mat7.3", "zarr2", "zarr3")


def written(form: str, path: Path) -> Path:
    if form == "npz_packed":
        np.savez_compressed(path / "data.npz", csi=CSI)
        return path / "data.npz"
    if form == "mat5_packed":
        scipy.io.savemat(path / "data.mat", {"csi": CSI}, do_compression=True)
        return path / "data.mat"
    if form == "mat7.3_packed":
        pairs = np.empty(CSI.T.shape, [("real", "f4"), ("imag", "f4")])
        pairs["real"], pairs["imag"] = CSI.T.real, CSI.T.imag
        with h5py.File(path / "data.mat", "w", userblock_size=512) as file:
            file.create_dataset("csi", data=pairs, chunks=(5, 12, 6, 2), compression="gzip")
        return path / "data.mat"
    if form == "zarr3_checked":
        group = zarr.open_group(path / "data.zarr", mode="w")
        group.create_array("csi", data=CSI, chunks=(2, *CSI.shape[1:]), compressors=[zarr.codecs.Crc32cCodec()])
        return path / "data.zarr"
    return save(form, path, csi=CSI)


def kind(form: str) -> str:
    return kind_of(form.split("_")[0])


def outcome(files: Path, form: str) -> np.ndarray | None:
    """The values, None where the file is refused in one line; any other exception is a failure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(section(files, kind(form)))["csi"].values
    except InputError as error:
        assert str(files) in str(error) or "data." in str(error)
        assert "\n" not in str(error) and len(str(error)) < 1000
        return None


def stored(files: Path) -> list[Path]:
    return [files] if files.is_file() else sorted(file for file in files.rglob("*") if file.is_file())


@pytest.mark.parametrize("form", FORMS)
def test_cut_at_any_place(tmp_path, form):
    files = written(form, tmp_path)
    for file in stored(files):
        whole = file.read_bytes()
        for length in sorted({0, 1, *range(3, len(whole), max(1, len(whole) // 25)), len(whole) - 1}):
            file.write_bytes(whole[:length])
            values = outcome(files, form)
            assert values is None or np.array_equal(values, CSI), (file, length)
        file.write_bytes(whole)


@pytest.mark.parametrize("form", FORMS)
def test_flipped_at_any_place(tmp_path, form):
    files = written(form, tmp_path)
    generator = np.random.default_rng(0)
    for file in stored(files):
        whole = file.read_bytes()
        # Headers stand at the beginning, or at the end.
        places = {*range(0, min(len(whole), 600), 11), *range(max(0, len(whole) - 200), len(whole), 11)}
        places |= set(generator.integers(len(whole), size=20).tolist())
        for place in sorted(places):
            changed = bytearray(whole)
            changed[place] ^= int(generator.integers(1, 256))
            file.write_bytes(changed)
            values = outcome(files, form)
            if values is not None:
                assert values.shape == CSI.shape
                assert form not in WITH_CHECKSUM or np.array_equal(values, CSI), (file, place)
        file.write_bytes(whole)


@pytest.mark.parametrize("form", ["npz", "mat5", "mat7.3", "zarr2", "zarr3"])
@pytest.mark.parametrize("values", [np.ones((8, 6, 12, 5), bool), np.array(2.5), np.full((8, 2), b"text")])
@pytest.mark.filterwarnings("ignore")
def test_no_array_of_numbers(tmp_path, form, values):
    assert outcome(save(form, tmp_path, csi=values), form) is None


def npz(path: Path, header: dict | bytes, data: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """An npz file whose member `csi` has this header, or these bytes in its place."""
    head = io.BytesIO()
    if isinstance(header, dict):
        np.lib.format.write_array_header_1_0(head, header)
    with zipfile.ZipFile(path / "data.npz", "w", method) as archive:
        archive.writestr("csi.npy", (head.getvalue() or header) + data)
    return path / "data.npz"


def described(shape, descr="<c8"):
    return {"descr": descr, "fortran_order": False, "shape": shape}


@pytest.mark.parametrize(
    ("shape", "descr", "message"),
    [
        ((10**12, 6, 12, 5), "<c8", r"claims 1000000000000 x 6 x 12 x 5 numbers, .* allowed: 100 times"),
        ((9, 6, 12, 5), "<c8", "25920 bytes; 23040 bytes are there"),
        ((7, 6, 12, 5), "<c8", "20160 bytes; 23040 bytes are there"),
        ((8, 6, 12, 5), "<c16", "46080 bytes; 23040 bytes are there"),
        ((-8, -6, 12, 5), "<c8", "claims -8 x -6"),
        ((8, 6, 12, 5), "|O", "pickles are refused"),
        ((8, 6, 12, 5), "|V8", "expected real or complex numbers"),
    ],
)
def test_npz_whose_header_disagrees_with_what_is_there(tmp_path, shape, descr, message):
    with pytest.raises(InputError, match=message):
        read(section(npz(tmp_path, described(shape, descr), CSI.tobytes())))


def test_npz_that_unpacks_to_far_more(tmp_path):
    """300 MB of zeros in 300 kB."""
    shape = (100_000, 6, 12, 5)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, described(shape))
    with (
        zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("csi.npy", "w") as member,
    ):
        member.write(head.getvalue())
        for _ in range(100):
            member.write(bytes(int(np.prod(shape)) * 8 // 100))
    with pytest.raises(InputError, match=r"data\.npz: 'csi' claims 100000 x 6 x 12 x 5 numbers, 288000000 bytes"):
        read(section(tmp_path / "data.npz"))


def test_npz_larger_than_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(InputError, match="23040 bytes, and is read whole; 1000 bytes of memory are free"):
        read(section(save("npz", tmp_path, csi=CSI)))


def test_npz_that_is_encrypted_or_packed_otherwise(tmp_path):
    files = save("npz", tmp_path, csi=CSI)
    whole = bytearray(files.read_bytes())
    # The flag, in the member's own header and in the directory.
    whole[6] |= 1
    whole[whole.rindex(b"PK\x01\x02") + 8] |= 1
    files.write_bytes(whole)
    with pytest.raises(InputError, match="'csi' is encrypted"):
        read(section(files))
    packed = npz(tmp_path, described(CSI.shape), CSI.tobytes(), zipfile.ZIP_LZMA)
    with pytest.raises(InputError, match="zip method 14; allowed: stored, deflated"):
        read(section(packed))


@pytest.mark.parametrize("head", [b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00v\x00{}", b"\x93NUMPY\x01\x00\xff\xff{'descr'"])
def test_npz_with_a_broken_header(tmp_path, head):
    with pytest.raises(InputError, match=r"data\.npz: 'csi'"):
        read(section(npz(tmp_path, head or b"?", CSI.tobytes())))


def outside(path: Path) -> Path:
    """A file that is not to be read."""
    with h5py.File(path / "outside.h5", "w") as file:
        file["csi"] = np.ones(CSI.T.shape, np.float32)
    (path / "secret").write_bytes(np.ones(CSI.T.shape, np.float32).tobytes())
    return path / "outside.h5"


def linked(file: h5py.File, what: str, other: Path) -> str:
    """Put data from outside into a file; the name they have there."""
    shape = CSI.T.shape
    if what == "external storage":
        file.create_dataset(
            "csi", shape, np.float32, external=[(str(other.with_name("secret")), 0, h5py.h5f.UNLIMITED)]
        )
    elif what == "virtual dataset":
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[:] = h5py.VirtualSource(other, "csi", shape)
        file.create_virtual_dataset("csi", layout)
    elif what == "external link":
        file["csi"] = h5py.ExternalLink(other, "csi")
    elif what == "external group":
        file["group"] = h5py.ExternalLink(other, "/")
        return "group/csi"
    else:
        file["far"] = h5py.ExternalLink(other, "csi")
        file["csi"] = h5py.SoftLink("/far")
    return "csi"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("external storage", "has its data in external storage"),
        ("virtual dataset", "has its data a virtual dataset"),
        ("external link", "'csi' is a link to another file"),
        ("external group", "'group' is a link to another file"),
        ("soft link", "'csi' is a soft link"),
    ],
)
def test_hdf5_whose_data_lie_in_another_file(tmp_path, what, message):
    with h5py.File(tmp_path / "data.mat", "w") as file:
        variable = linked(file, what, outside(tmp_path))
    changes = {"blocks": {"any": [{"file": None, "variable": variable, "imaginary": None, "slot": 0, "subcarrier": 0}]}}
    with pytest.raises(InputError, match=rf"data\.mat: '{variable}'.*{message}.*allowed: data in the file itself"):
        read(section(tmp_path / "data.mat", "mat", **changes))


@pytest.mark.parametrize("form", ["mat7.3", "zarr3"])
def test_an_array_that_is_claimed_and_not_there(tmp_path, form):
    """Unwritten chunks read as zeros: of a claimed 10^13 samples nothing is stored."""
    shape = (10**13, 6, 12, 5)
    if form == "zarr3":
        files = tmp_path / "data.zarr"
        zarr.open_group(files, mode="w").create_array("csi", shape=shape, chunks=(2, 6, 12, 5), dtype="c8")
    else:
        files = tmp_path / "data.mat"
        with h5py.File(files, "w") as file:
            file.create_dataset("csi", shape[::-1], [("real", "f4"), ("imag", "f4")], chunks=(5, 12, 6, 2))
    with pytest.raises(InputError, match=r"data\.\w+: 'csi' claims .* are stored; allowed: 100 times"):
        read(section(files, kind(form)))


def test_hdf5_with_other_types(tmp_path):
    with h5py.File(tmp_path / "data.mat", "w") as file:
        file.create_dataset("csi", CSI.T.shape, [("real", "f4"), ("imag", "S4")])
        file.create_dataset("words", data=["a", "b"])
        file.create_dataset("places", (3,), h5py.ref_dtype)
        file["kind"] = np.dtype("f8")
        file.create_dataset("none", data=h5py.Empty("f4"))
    for variable in ("csi", "words", "places", "kind", "none", ".", "csi/..", "csi/csi"):
        with pytest.raises(InputError, match=r"data\.mat"), open_array("mat", tmp_path / "data.mat", variable):
            pass


def changed(files: Path, change: dict, metadata: str = "zarr.json") -> Path:
    """A store whose array says other things of itself."""
    file = files / "csi" / metadata
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    return files


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": [{"name": "bytes"}, {"name": "not_known", "configuration": {}}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.pickle"}]},
        {"codecs": []},
        {"data_type": "float4096"},
        {"data_type": "string"},
        {"shape": [8, 6, 12]},
        {"shape": [-8, 6, 12, 5]},
        {"shape": "many"},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 6, 12, 5]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**9, 6, 12, 5]}}},
        {"chunk_key_encoding": {"name": "../../other"}},
        {"zarr_format": 4},
        {"node_type": "group"},
    ],
)
def test_zarr_whose_metadata_cannot_be(tmp_path, change):
    assert outcome(changed(save("zarr3", tmp_path, csi=CSI), change), "zarr3") is None


@pytest.mark.parametrize(
    ("dtype", "change"),
    [
        ("<c8", {"filters": [{"id": "pickle"}]}),
        ("<c8", {"compressor": {"id": "pickle"}}),
        ("|O", {"filters": [{"id": "pickle"}], "fill_value": 0}),
        ("<c8", {"compressor": {"id": "not_known"}}),
    ],
)
def test_zarr_runs_nothing_that_it_holds(tmp_path, dtype, change):
    """zarr v2 knows a codec that loads pickles."""
    files = save("zarr2", tmp_path, csi=CSI)
    changed(files, {"compressor": None, "dtype": dtype} | change, ".zarray")
    hostile = pickle.dumps(_Hostile(tmp_path / "mark"))
    for file in (files / "csi").iterdir():
        if not file.name.startswith("."):
            file.write_bytes(hostile)
    assert outcome(files, "zarr2") is None
    assert not (tmp_path / "mark").exists()


class _Hostile:
    def __init__(self, mark: Path):
        self._mark = mark

    def __reduce__(self):
        return Path.touch, (self._mark,)


@pytest.mark.parametrize("variable", ["../other.zarr/csi", "..", ".", "csi/../../other.zarr/csi", "/csi/.."])
def test_zarr_name_that_leads_out(tmp_path, variable):
    files = save("zarr3", tmp_path, csi=CSI)
    zarr.open_group(tmp_path / "other.zarr", mode="w").create_array("csi", data=CSI)
    with (
        pytest.raises(InputError, match=r"data\.zarr: .*allowed: names of arrays in the group, without \. and \.\."),
        open_array("zarr", files, variable),
    ):
        pass


@pytest.mark.parametrize("carrier", ["2.4e9", [2.4e9], {}, True, float("nan")])
def test_zarr_with_a_carrier_that_is_no_number(tmp_path, carrier):
    files = save("zarr3", tmp_path, csi=CSI)
    zarr.open_group(files).attrs["carrier_frequency"] = carrier
    with pytest.raises(InputError, match="carrier_frequency"):
        read(section(files, "zarr"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe{}",
        b"[]",
        b"[" * 100_000,
        b'{"txrx_sets": [], "scene": {"num_scenes": 1}, "rt_params": {"frequency": 3.5e9}}',
        b'{"txrx_sets": {"a": 1}, "scene": {"num_scenes": 1}, "rt_params": {"frequency": 3.5e9}}',
        b'{"txrx_sets": {"a": {"id": [], "num_points": "x"}}, "scene": null, "rt_params": 1}',
    ],
)
def test_scenario_whose_parameters_are_damaged(scenario, text):
    made = scenario()
    (made / "params.json").write_bytes(text)
    with pytest.raises(InputError, match=r"params\.json: no parameters of a DeepMIMO v4 scenario"):
        read_deepmimo(deepmimo(made), seed=0)


@pytest.mark.parametrize("values", [np.float32(1), np.ones(5), np.ones((5, 2, 2))])
@pytest.mark.parametrize("name", ["power", "rx_pos"])
def test_scenario_whose_arrays_have_other_axes(scenario, name, values):
    made = scenario()
    np.savez(made / f"{name}_t000_tx000_r001.npz", **{name: values})
    with pytest.raises(InputError, match=name):
        read_deepmimo(deepmimo(made), seed=0)
