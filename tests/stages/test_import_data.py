"""Stage import: what files hold becomes stores like those that we generate."""

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from stages import import_data
from stages.import_data import bring_in
from storage.errors import StorageError
from storage.stores.csi_store import open_store
from storage.stores.inspection import describe_store
from tests.imports.known_channels import channels
from wavefoundry.errors import InputError
from wavefoundry.imports.options import ImportedArrays, ImportedDeepMIMO, ImportedScene
from wavefoundry.imports.scene_files import require_own_meshes

ARRAY = {"rows": 1, "columns": 4, "spacing": 0.5, "pattern": "iso", "polarisation": "V"}


def one_process(function, arguments, total=None):
    return (function(*one) for one in arguments)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("scenario", "figures"):
        (tmp_path / folder).mkdir()
    return tmp_path


def arrays(files, **changes) -> ImportedArrays:
    block = {"file": None, "variable": "csi", "imaginary": None, "slot": 0, "subcarrier": 0}
    values = {
        "kind": "npz",
        "files": str(files),
        "blocks": {"any": [block]},
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "axes": ["sample", "time", "antenna", "subcarrier"],
        "trajectory": None,
        "speed": [1.0, 1.0],
        "blocked": "refuse",
        "unknown_is_zero": False,
        "carrier_frequency": 2.4e9,
        "array": ARRAY,
        "slots": 4,
        "slot_duration": 1e-3,
        "subcarriers": 8,
        "subcarrier_spacing": 180e3,
        "samples_per_call": 5,
    }
    return ImportedArrays.model_validate(values | changes)


def scene(files, xml) -> ImportedScene:
    traffic = {"vehicles": 4, "pedestrians": 2, "vehicle_speed": [5.0, 10.0], "pedestrian_speed": [0.5, 2.0]}
    traffic |= {"turn_probability": 0.1, "vehicle_height": 1.6, "pedestrian_height": 1.5, "cell_size": 1.0}
    site = {"scene": xml, "centre": [-33.0, 0.0], "radius": 60.0}
    site |= {"traffic": traffic | {"clearance": 2.0, "lane_offset": 2.0}}
    site |= {"sampling": {"windows": 1, "window_interval": 0.5, "slots": 4, "slot_duration": 1e-3}}
    site |= {"split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    tracing = {"max_depth": 1, "samples_per_source": 10000, "diffuse_reflection": False, "diffraction": False}
    tracing |= {"vehicles_scatter": False, "keys": {"kind": "continuous", "interval": 3}, "max_paths": 5}
    values = {
        "kind": "scene",
        "files": files,
        "twin": {
            "kind": "ray_traced",
            "site": site,
            "carrier_frequency": 2.4e9,
            "base_stations": [{"position": [-33.0, 0.0, 20.0], "orientation": [0.0, 0.0, 0.0]}],
            "array": ARRAY,
            "tracing": tracing | {"users_per_call": 10},
        },
        "ofdm": {"subcarriers": 8, "subcarrier_spacing": 180e3, "timing_advance": 2e-7, "links_per_call": 100},
    }
    return ImportedScene.model_validate(values)


def bring(section, project, name="mine"):
    return bring_in(section, 0, name, project / "scenario", project / "figures", one_process)


def test_arrays_become_a_store(project):
    generator = np.random.default_rng(0)
    csi = (generator.standard_normal((12, 4, 4, 8)) + 1j * generator.standard_normal((12, 4, 4, 8))).astype("complex64")
    np.savez(project / "data.npz", csi=csi)
    summary = bring(arrays(project / "data.npz"), project)
    store = open_store(project / "data/csi/mine.zarr", "csi")
    np.testing.assert_array_equal(store["csi"].values, csi)
    assert [summary[f"samples_{name}"] for name in ("train", "validation", "test")] == [6, 3, 3]
    power = np.mean(np.abs(csi) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(summary["gain_median_db"], np.median(10 * np.log10(power)), rtol=1e-5)
    assert json.loads((project / "scenario/summary.json").read_text()) == summary
    assert (project / "figures/csi.png").stat().st_size > 10000

    # A store of ours is a zarr file as good as any other, with its own carrier and trajectories.
    stated = {"kind": "zarr", "trajectory": "trajectory"}
    bring(arrays(project / "data/csi/mine.zarr", **stated), project, "again")
    np.testing.assert_array_equal(open_store(project / "data/csi/again.zarr", "csi")["csi"].values, csi)
    with pytest.raises(InputError, match="carrier_frequency"):
        bring(arrays(project / "data/csi/mine.zarr", carrier_frequency=28e9, **stated), project, "again")


def test_exchanged_axes_are_told_in_one_line_and_in_the_summary(project, capsys):
    csi = channels(40, (4, 8, 8))
    eight = {"array": ARRAY | {"columns": 8}, "split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    np.savez(project / "data.npz", csi=csi)
    assert "axes_in_doubt" not in bring(arrays(project / "data.npz", **eight), project)
    assert capsys.readouterr().out == ""
    exchanged = ["sample", "time", "subcarrier", "antenna"]
    doubt = bring(arrays(project / "data.npz", axes=exchanged, **eight), project)["axes_in_doubt"]
    assert "the axes antenna and subcarrier may be exchanged" in doubt
    assert capsys.readouterr().out == f"import@mine: {doubt}\n"
    assert json.loads((project / "scenario/summary.json").read_text())["axes_in_doubt"] == doubt


def test_snapshots_and_samples_left_out_are_counted(project):
    csi = channels(13, (1, 4, 8))
    csi[6] = 0
    np.savez(project / "data.npz", csi=csi)
    summary = bring(arrays(project / "data.npz", slots=1, blocked="drop"), project)
    assert (summary["samples"], summary["samples_without_path"]) == (12, 1)
    assert (project / "figures/csi.png").stat().st_size > 10000
    coverage = describe_store(project / "data/csi/mine.zarr")["coverage"]
    assert coverage == "92.3 % (12 of 13 windows have a path)"


def test_a_fault_in_the_last_sample_leaves_the_store_as_it_was(project):
    csi = np.ones((12, 4, 4, 8), np.complex64)
    np.savez(project / "data.npz", csi=csi)
    bring(arrays(project / "data.npz"), project)
    csi[11, 0, 0, 0] = np.nan
    np.savez(project / "data.npz", csi=csi)
    with pytest.raises((InputError, StorageError), match="sample 11 has NaN"):
        bring(arrays(project / "data.npz"), project)
    store = open_store(project / "data/csi/mine.zarr", "csi")
    np.testing.assert_array_equal(store["csi"].values, np.ones((12, 4, 4, 8)))


def test_paths_of_deepmimo_become_stores(project):
    folder = project / "town"
    folder.mkdir()
    receivers = np.array([[40.0, 10.0 * index, 1.5] for index in range(6)])
    distance = np.linalg.norm(receivers - [0, 0, 10.0], axis=1)[:, None]
    matrices = {name: np.full((6, 1), 90.0) for name in ("aoa_az", "aoa_el", "aod_az", "aod_el")}
    matrices |= {"power": -20 * np.log10(distance), "phase": distance, "delay": distance / 3e8, "inter": 0 * distance}
    # One that no path reaches.
    for values in matrices.values():
        values[3] = np.nan
    for name, values in (matrices | {"rx_pos": receivers, "tx_pos": np.array([[0, 0, 10.0]])}).items():
        np.savez(folder / f"{name}_t000_tx000_r001.npz", **{name: values})
    sets = {"a": {"id": 0, "is_tx": True, "is_rx": False, "num_points": 1}}
    sets |= {"b": {"id": 1, "is_tx": False, "is_rx": True, "num_points": 6}}
    parameters = {"txrx_sets": sets, "scene": {"num_scenes": 1}, "rt_params": {"frequency": 2.4e9}}
    (folder / "params.json").write_text(json.dumps(parameters))
    values = {
        "kind": "deepmimo",
        "files": str(folder),
        "transmitters": 0,
        "receivers": 1,
        "carrier_frequency": 2.4e9,
        "carrier_phase": True,
        "array": ARRAY,
        "orientation": [0.0, 0.0, 0.0],
        "users": 5,
        "speed": [1.0, 2.0],
        "slots": 4,
        "slot_duration": 1e-3,
        "max_paths": 3,
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "ofdm": {"subcarriers": 8, "subcarrier_spacing": 180e3, "timing_advance": 2e-7, "links_per_call": 2},
    }
    summary = bring(ImportedDeepMIMO.model_validate(values), project)
    csi = open_store(project / "data/csi/mine.zarr", "csi")
    assert open_store(project / "scenario/paths.zarr", "paths").sizes["sample"] == csi.sizes["sample"] == 5
    assert summary["share_line_of_sight"] == 1 and summary["paths_mean"] == 1
    assert (summary["receivers"], summary["receivers_reached"], summary["users"]) == (6, 5, 5)
    start = csi["position"].values[:, 0]
    gain = np.abs(csi["csi"].values[:, 0, 0, 0])
    np.testing.assert_allclose(gain, 1 / np.linalg.norm(start - [0, 0, 10.0], axis=1), rtol=1e-5)


def test_a_scene_of_ones_own_becomes_stores(project):
    """The XML file and meshes of a scene, in a folder as one of a user."""
    from wavefoundry.twin.llvm import prepare_ray_tracer

    prepare_ray_tracer()
    import sionna.rt

    shutil.copytree(Path(sionna.rt.scene.simple_street_canyon).parent, "town")
    section = scene("town", "town/simple_street_canyon.xml")
    summary = bring(section, project)
    csi = open_store(project / "data/csi/mine.zarr", "csi")
    assert csi.sizes["sample"] == summary["windows_reached"] > 0
    assert csi["csi"].shape[1:] == section.shape == (4, 4, 8)
    for name in ("scene.png", "csi.png"):
        assert (project / "figures" / name).stat().st_size > 10000
    # Free space along the direct path, within what a reflection off the ground adds or takes.
    distance = np.linalg.norm(csi["position"].values[:, 0] - [-33.0, 0.0, 20.0], axis=1)
    free = 20 * np.log10(299792458.0 / 2.4e9 / (4 * np.pi * distance))
    gain = 10 * np.log10(np.mean(np.abs(csi["csi"].values) ** 2, axis=(1, 2, 3)))
    assert np.abs((gain - free)[csi["los"].values]).max() < 8


def test_a_summary_with_a_sentence_is_recorded_by_its_numbers(project, monkeypatch):
    """Why users are not reached is told where fewer than 90 % of them are."""
    logged = {}

    class Recorded:
        def log_metrics(self, metrics):
            logged.update({key: float(value) for key, value in metrics.items()})

    entry = SimpleNamespace(files=str(project))
    settings = SimpleNamespace(entry=lambda group, name: entry, seed=0, workers=None)
    monkeypatch.setattr(import_data.params, "read", lambda: settings)
    monkeypatch.setattr(import_data, "stage", lambda *_, **__: nullcontext(Recorded()))
    monkeypatch.setattr(import_data, "workers", lambda *_: nullcontext(one_process))
    summary = {"users_reached": 3, "share_reached": 0.5, "why_not_reached": "50 % of the users are never ..."}
    monkeypatch.setattr(import_data, "bring_in", lambda *_: summary)
    monkeypatch.setattr(sys, "argv", ["import_data", "mine"])
    import_data.figures_folder("scenario", "mine").mkdir(parents=True)
    import_data.main()
    assert logged == {"users_reached": 3, "share_reached": 0.5}


def test_a_scene_outside_of_its_files_is_refused():
    with pytest.raises(ValidationError, match="must lie in files, 'town'"):
        scene("town", "city/simple_street_canyon.xml")
    with pytest.raises(ValidationError, match=r"must lie in files, 'town', without \.\. on the way"):
        scene("town", "town/../city/simple_street_canyon.xml")


@pytest.mark.parametrize("named", ["../../city/house.ply", "/city/house.ply"])
@pytest.mark.parametrize("element", ['<string name="filename" value="{}"/>', '<include filename="{}"/>'])
def test_a_scene_with_files_outside_of_its_folder_is_refused(project, element, named):
    (project / "town/scenes").mkdir(parents=True)
    (project / "town/scenes/town.xml").write_text(f"<scene>{element.format(named)}</scene>")
    with pytest.raises(InputError, match=r"town\.xml: it refers to .*house\.ply'; allowed: what lies in"):
        bring(scene("town", "town/scenes/town.xml"), project)


def test_a_scene_may_refer_to_meshes_beside_its_folder_in_files(project):
    (project / "town/scenes").mkdir(parents=True)
    (project / "town/scenes/town.xml").write_text(
        '<scene><string name="filename" value="../meshes/house.ply"/></scene>'
    )
    require_own_meshes(scene("town", "town/scenes/town.xml"))
