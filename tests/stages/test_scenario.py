"""From parameters to stores: complete by the schema, split by trajectory, the same bytes again."""

import numpy as np
import pytest
import yaml

from stages import params
from stages.csi import synthesise
from stages.scenario import scenario_seed, simulate
from storage.csi_store import open_store
from storage.digests import digest
from wavefoundry.errors import InputError


@pytest.fixture
def scenario():
    """Both kinds of twin of the default study, made small."""
    settings = params.parse(params.PATH.read_text(), "params.yaml")

    def make(name):
        chosen = settings.entry("scenarios", name)
        twin = chosen.twin.model_dump()
        if chosen.twin.kind == "ray_traced":
            twin["traffic"] |= {"vehicles": 4, "pedestrians": 2}
            twin["tracing"] |= {"samples_per_source": 5000, "max_depth": 1}
        else:
            twin |= {"users": 12, "users_per_call": 5}
        return type(chosen).model_validate(chosen.model_dump() | {"twin": twin})

    return make


def run(folder, scenario, name):
    paths, csi, figure = folder / "paths.zarr", folder / "csi.zarr", folder / "scene.png"
    summary = simulate(scenario.twin, scenario_seed(0, name), name, paths, folder / "summary.json", figure)
    synthesise(paths, csi, scenario)
    return csi, summary


@pytest.mark.parametrize("name", ["street_canyon", "uma_nlos"])
def test_stores_are_complete_and_repeat(tmp_path, scenario, name):
    chosen = scenario(name)
    for folder in ("first", "again"):
        path, summary = run(tmp_path / folder, chosen, name)
        if folder == "first":
            first = path, summary
    assert summary == first[1]
    assert digest(tmp_path / "first") == digest(tmp_path / "again")

    store = open_store(path, "csi")
    assert store["csi"].shape == (summary["windows_reached"], *chosen.shape)
    assert (np.abs(store["csi"].values) > 0).any(axis=(1, 2, 3)).all()
    assert np.unique(store["split"].values).tolist() == [0, 1, 2]
    for trajectory in np.unique(store["trajectory"]):
        assert len(np.unique(store["split"].values[store["trajectory"].values == trajectory])) == 1
    np.testing.assert_allclose(np.linalg.norm(store["velocity"].values[:, 0], axis=1), store["speed"].values)
    assert store.attrs["bandwidth"] == chosen.ofdm.subcarriers * chosen.ofdm.subcarrier_spacing
    assert yaml.safe_load(store.attrs["parameters"])["twin"] == chosen.twin.model_dump()


def test_seeds_of_scenarios_are_their_own():
    assert len({scenario_seed(seed, name) for seed in range(3) for name in ("munich", "uma_nlos")}) == 6


def test_unknown_scenario_is_named():
    settings = params.parse(params.PATH.read_text(), "params.yaml")
    with pytest.raises(InputError, match="no entry 'paris', found: munich"):
        settings.entry("scenarios", "paris")
