"""From parameters to stores: complete by the schema, split by trajectory, the same bytes again."""

import contextlib
import json
import threading

import numpy as np
import psutil
import pytest

from stages import params
from stages.csi import write_csi
from stages.scale_out import Workers, workers
from stages.scenario import derived_seed, motion_seed, simulate
from storage.digests import digest
from storage.stores.csi_store import open_store
from tests.parameters import FILE
from wavefoundry.errors import InputError


@pytest.fixture
def scenario():
    """Both kinds of twin of the study of the tests, made smaller."""
    settings = params.read(FILE)

    def make(name, **changes):
        chosen = settings.entry("scenarios", name)
        twin = chosen.twin.model_dump()
        if chosen.twin.kind == "ray_traced":
            twin["site"]["traffic"] |= {"vehicles": 4, "pedestrians": 2}
            twin["tracing"] |= {"samples_per_source": 5000, "max_depth": 1, "users_per_call": 10}
        else:
            twin |= {"users": 12, "users_per_call": 5}
        return type(chosen).model_validate(chosen.model_dump() | {"twin": twin | changes})

    return make


def run(folder, scenario, name, processes=1):
    """The CSI store of a scenario, and its summary."""
    folder.mkdir()
    with workers(Workers(processes=processes, scheduler=None), "test") as map_units:
        summary = simulate(scenario.twin, 0, name, folder, folder / "figures", map_units)
        write_csi(folder / "paths.zarr", folder / "csi.zarr", scenario.ofdm, scenario, map_units)
    return folder / "csi.zarr", summary


@pytest.mark.parametrize("name", ["street_canyon", "uma_nlos"])
def test_stores_are_complete_and_the_same_on_two_processes(tmp_path, monkeypatch, scenario, name):
    chosen = scenario(name)
    path, summary = run(tmp_path / "alone", chosen, name)
    monkeypatch.setattr("stages.scale_out.WORTHWHILE", -1.0)
    monkeypatch.setattr("stages.scale_out.idle_cores", lambda: 8.0)
    assert run(tmp_path / "together", chosen, name, processes=2)[1] == summary
    assert digest(tmp_path / "alone") == digest(tmp_path / "together")

    store = open_store(path, "csi")
    assert store["csi"].shape == (summary["windows_reached"], *chosen.shape)
    assert (np.abs(store["csi"].values) > 0).any(axis=(1, 2, 3)).all()
    assert np.unique(store["split"].values).tolist() == [0, 1, 2]
    for trajectory in np.unique(store["trajectory"]):
        assert len(np.unique(store["split"].values[store["trajectory"].values == trajectory])) == 1
    np.testing.assert_allclose(np.linalg.norm(store["velocity"].values[:, 0], axis=1), store["speed"].values, rtol=1e-6)
    assert store.attrs["bandwidth"] == chosen.ofdm.subcarriers * chosen.ofdm.subcarrier_spacing
    assert json.loads(store.attrs["parameters"])["twin"] == chosen.twin.model_dump()


class Assassin(threading.Thread):
    """Kills the first worker process that it sees at work."""

    victim = None

    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "dask worker" in " ".join(child.cmdline()).lower() and child.cpu_times().user > 1:
                        child.kill()
                        self.victim = child.pid
                        return


def test_a_killed_worker_changes_nothing(tmp_path, monkeypatch, scenario):
    chosen = scenario("uma_nlos")
    run(tmp_path / "whole", chosen, "uma_nlos")
    monkeypatch.setattr("stages.scale_out.WORTHWHILE", -1.0)
    monkeypatch.setattr("stages.scale_out.idle_cores", lambda: 8.0)
    assassin = Assassin()
    assassin.start()
    try:
        run(tmp_path / "killed", chosen, "uma_nlos", processes=2)
    finally:
        assassin.over.set()
    assert assassin.victim is not None
    assert digest(tmp_path / "whole") == digest(tmp_path / "killed")


def test_a_second_carrier_has_the_same_users_and_splits(tmp_path, scenario):
    array = {"rows": 2, "columns": 4, "spacing": 0.5, "pattern": "tr38901", "polarisation": "VH"}
    changes = {"sub6": {}, "mmwave": {"carrier_frequency": 28e9, "array": array}}
    stores = [
        open_store(run(tmp_path / name, scenario("street_canyon", **values), name)[0], "csi")
        for name, values in changes.items()
    ]
    assert [store.sizes["antenna"] for store in stores] == [16, 16]
    keys = [list(zip(store["trajectory"].values, store["window"].values, strict=True)) for store in stores]
    common = sorted(set(keys[0]) & set(keys[1]))
    assert len(common) > 0.8 * max(map(len, keys))
    rows = [[key.index(link) for link in common] for key in keys]
    for variable in ("position", "velocity", "split"):
        first, second = (store[variable].values[row] for store, row in zip(stores, rows, strict=True))
        np.testing.assert_array_equal(first, second)


def test_seeds_follow_their_subject(scenario):
    assert len({derived_seed(seed, name) for seed in range(3) for name in ("canyon", "uma_nlos")}) == 6
    twin, other = scenario("canyon").twin, scenario("street_canyon").twin
    assert motion_seed(0, "a", twin) == motion_seed(0, "b", twin) != motion_seed(0, "a", other)
    drop = scenario("uma_nlos").twin
    assert motion_seed(0, "a", drop) != motion_seed(0, "b", drop)


def test_unknown_scenario_is_named():
    with pytest.raises(InputError, match="no entry 'paris', found: street_canyon"):
        params.read(FILE).entry("scenarios", "paris")
