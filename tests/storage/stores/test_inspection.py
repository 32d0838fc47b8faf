"""What `python -m storage` says of a store that is whole, and of one that is not."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from storage.__main__ import main
from storage.stores.csi_store import open_store, write_store
from storage.stores.inspection import check_store, describe_store
from storage.stores.schema import KINDS
from tests.storage.example import make_dataset, small_shards

CHUNK = 2 * 384 + 4  # bytes of 2 samples of CSI and their checksum


@pytest.fixture(autouse=True, scope="module")
def _small_shards():
    with small_shards():
        yield


@pytest.fixture
def path(tmp_path):
    write_store(tmp_path / "a.zarr", make_dataset(15), "csi")
    return tmp_path / "a.zarr"


def flip(file, position):
    content = bytearray(file.read_bytes())
    content[position] ^= 4
    file.write_bytes(content)


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["storage", *map(str, arguments)])
    return main()


def test_a_whole_store_passes(path, monkeypatch, capsys):
    assert command(monkeypatch, "check", path) == 0
    # 4 shards of CSI (4 samples each), 3 of each of 6 small variables (6 samples each), and time.
    assert capsys.readouterr().out == "23 shards, 15 samples, every file is as it was written\n"


@pytest.mark.parametrize(
    ("file", "position", "fault"),
    [
        ("csi/c/1/0/0/0", 0, "checksum of chunk 0 disagrees; samples 4 to 5 lost"),
        ("csi/c/1/0/0/0", CHUNK - 5, "checksum of chunk 0 disagrees; samples 4 to 5 lost"),
        ("csi/c/1/0/0/0", CHUNK, "checksum of chunk 1 disagrees; samples 6 to 7 lost"),
        ("csi/c/1/0/0/0", 2 * CHUNK - 1, "checksum of chunk 1 disagrees; samples 6 to 7 lost"),
        ("csi/c/3/0/0/0", CHUNK, "checksum of chunk 1 disagrees; sample 14 lost"),
        ("csi/c/3/0/0/0", -1, "checksum of the index disagrees; samples 12 to 14 lost"),
        ("speed/c/2", 0, "checksum of chunk 0 disagrees; samples 12 to 14 lost"),
        ("time/c/0", 3, "checksum disagrees; all samples lost"),
    ],
)
def test_a_damaged_byte_is_found_with_its_samples(path, monkeypatch, capsys, file, position, fault):
    flip(path / file, position)
    assert command(monkeypatch, "check", path) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"{path}: {file}: {fault}"
    assert last.endswith("of 15 samples lost")


def test_every_byte_of_every_shard_counts(path):
    """Padding too: whatever byte of a shard changes, the check fails."""
    rng = np.random.default_rng(0)
    files = sorted(file for file in path.rglob("c/**/*") if file.is_file())
    for _ in range(60):
        file = files[rng.integers(len(files))]
        position = int(rng.integers(file.stat().st_size))
        flip(file, position)
        assert len(check_store(path).faults) == 1, (file, position)
        flip(file, position)
    assert not check_store(path).faults


def test_missing_and_short_shards_are_named_and_lost_samples_counted_once(path, monkeypatch, capsys):
    shutil.rmtree(path / "csi/c/0")
    (path / "speed/c/0").unlink()
    short = path / "csi/c/2/0/0/0"
    short.write_bytes(short.read_bytes()[:5])
    assert command(monkeypatch, "check", path) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: csi/c/0/0/0/0: cannot be opened (No such file or directory); samples 0 to 3 lost",
        f"{path}: csi/c/2/0/0/0: is cut short; samples 8 to 11 lost",
        f"{path}: speed/c/0: cannot be opened (No such file or directory); samples 0 to 5 lost",
        "10 of 15 samples lost",
    ]


@pytest.mark.parametrize("broken", ["removed", "unreadable"])
def test_a_variable_whose_metadata_are_gone_is_an_error(path, monkeypatch, capsys, broken):
    if broken == "removed":
        shutil.rmtree(path / "csi")
    else:
        (path / "csi" / "zarr.json").write_text("{")
    assert command(monkeypatch, "check", path) == 1
    message = "'csi' is missing" if broken == "removed" else "metadata of a variable cannot be read"
    assert message in capsys.readouterr().err


def test_what_is_no_store_is_one_line_on_stderr(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "storage", "check", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr == f"{tmp_path}: no CSI store there (zarr.json is missing)\n"


@pytest.mark.parametrize("kind", KINDS)
def test_info_describes_every_kind(tmp_path, kind, monkeypatch, capsys):
    path = tmp_path / "a.zarr"
    dataset = make_dataset(15, kind=kind).assign_attrs(windows_total=20, generator="test 1")
    write_store(path, dataset, kind)
    lines = describe_store(path)
    assert lines["coverage"] == "75.0 % (15 of 20 windows have a path)"
    assert lines["line of sight"] == f"{100 * 4 / 15:.1f} % of the samples"
    assert lines["splits"].startswith("train 6 samples of 2 trajectories, validation 6 samples of 2")
    assert (lines["generator"], lines["seed"]) == ("test 1", "0")
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert lines["size on disk"].startswith(f"{size / 2**20:.1f} MiB")
    assert ("energy kept" in lines) == (kind == "angle_delay")
    if kind == "paths":
        gains = np.square(np.abs(dataset["amplitude"].values)).sum(axis=(2, 3)).mean(axis=1)
        assert lines["delay of a path"].startswith(f"{np.median(dataset['delay'].values) * 1e9:.4g} (median)")
    else:
        gains = np.square(np.abs(dataset["csi"].values)).mean(axis=(1, 2, 3))
        assert lines["RMS"] == f"{np.sqrt(gains.mean()):.4g}"
    low, middle, high = np.quantile(10 * np.log10(gains), (0.05, 0.5, 0.95))
    assert lines["gain of a sample"] == f"{middle:.4g} (median), {low:.4g} to {high:.4g} (5 to 95 %) dB"
    assert command(monkeypatch, "info", path) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(lines)


def test_info_of_imported_csi_leaves_out_what_is_not_known(tmp_path):
    dataset = make_dataset(15).drop_vars(["position", "velocity", "speed", "los"])
    write_store(tmp_path / "a.zarr", dataset, "csi")
    assert not describe_store(tmp_path / "a.zarr").keys() & {"speed", "line of sight", "coverage"}


@pytest.mark.parametrize("variable", ["split", "trajectory", "speed", "los"])
def test_info_of_a_store_with_a_damaged_small_variable_is_one_line(path, monkeypatch, capsys, variable):
    flip(path / variable / "c/0", 0)
    assert command(monkeypatch, "info", path) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"{path}: variable {variable!r} is damaged or cut short")


def test_info_ends_without_a_word_when_nobody_reads_on(path):
    script = f"{sys.executable} -m storage info {path} | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    # SIGPIPE, as of other programs; or everything was written before the reader had ended.
    assert result.stderr == "" and result.stdout in ("141\n", "0\n")


def test_append_takes_over_a_store_and_can_number_users_on(path, tmp_path, monkeypatch, capsys):
    source = tmp_path / "b.zarr"
    # The same numbers of users in other splits: other users.
    other = make_dataset(6, seed=1).assign(split=lambda d: d["split"].copy(data=(d["split"].values + 1) % 3))
    write_store(source, other, "csi")
    assert command(monkeypatch, "append", path, source) == 1
    assert "trajectory 0 is in more than one split" in capsys.readouterr().err
    assert command(monkeypatch, "append", path, source, "--new-users") == 0
    store = open_store(path, "csi").load()
    xr.testing.assert_equal(store["csi"], xr.concat([make_dataset(15)["csi"], other["csi"]], "sample"))
    assert store["trajectory"].values[15:].tolist() == [5, 5, 5, 6, 6, 6]
    assert store.attrs["appended"] == [{"seed": 1}]


def test_spreads_are_told_of_csi(tmp_path):
    """Two equal paths 500 ns apart, from directions 0.1 turns per antenna apart."""
    spacing, samples = 50e3, 60
    subcarriers, antennas = np.arange(41), np.arange(51)  # whole periods of the beat between the paths
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, samples)[:, None, None]
    beat = 0.1 * antennas[:, None] - 5e-7 * spacing * subcarriers
    csi = (1 + np.exp(2j * np.pi * beat + 1j * phase))[:, None].repeat(4, 1).astype(np.complex64)
    units = {"units": "1", "long_name": "test values"}
    dataset = (
        make_dataset(samples).drop_vars("csi").assign(csi=(("sample", "time", "antenna", "subcarrier"), csi, units))
    )
    hertz = {"units": "Hz", "long_name": "offset"}
    dataset = dataset.assign_coords(subcarrier=("subcarrier", subcarriers * spacing, hertz))
    write_store(tmp_path / "a.zarr", dataset.assign_attrs(array_rows=1, array_columns=len(antennas)), "csi")
    lines = describe_store(tmp_path / "a.zarr")
    delay, direction = (float(lines[f"{what} spread"].partition(" ")[0]) for what in ("delay", "direction"))
    assert delay == pytest.approx(250, rel=0.02) and "ns" in lines["delay spread"]
    assert direction == pytest.approx(0.05, rel=0.02) and "turns per antenna" in lines["direction spread"]
