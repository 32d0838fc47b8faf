"""Paths of DeepMIMO scenarios: closed forms of a direct path, and the CSI of sionna-rt for the same paths."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.constants import speed_of_light

from tests.imports.documented import documented
from tests.imports.scenario_files import CARRIER, ORIENTATION, RECEIVERS, STATION, section
from wavefoundry.csi.path_response import frequency_response, subcarrier_offsets
from wavefoundry.errors import InputError
from wavefoundry.imports.deepmimo import read_deepmimo
from wavefoundry.imports.options import ImportedDeepMIMO
from wavefoundry.twin.array import element_positions, rotation_matrix


@pytest.mark.parametrize("form", ["npz", "mat"])
@pytest.mark.parametrize("carrier_phase", [False, True])
def test_direct_path_is_the_closed_form(scenario, form, carrier_phase):
    """Free space: lambda / (4 pi d), the phase of the carrier, Doppler v . u / lambda, a plane wave over the array."""
    delays = np.linalg.norm(RECEIVERS - STATION, axis=1) / speed_of_light
    phase = np.degrees(np.angle(np.exp(-2j * np.pi * CARRIER * delays)))[:, None] * [1.0, np.nan]
    stated = section(scenario(form, **({"phase": phase} if carrier_phase else {})), carrier_phase=carrier_phase)
    paths, receivers = read_deepmimo(stated, seed=3)
    assert receivers == {"receivers": 5, "receivers_reached": 4}
    assert paths.sizes["sample"] == 4 and paths["los"].values.all()
    csi = frequency_response(paths, stated.ofdm).numpy()
    start, velocity = paths["position"].values[:, 0], paths["velocity"].values[:, 0]
    assert {tuple(place) for place in start.round(3)} == {tuple(place) for place in RECEIVERS[:4]}
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=1), paths["speed"].values)
    assert paths["speed"].values.min() >= 10 and paths["speed"].values.max() <= 30

    vector = start - STATION
    distance = np.linalg.norm(vector, axis=1)
    towards_station = -vector / distance[:, None]
    doppler = (velocity * towards_station).sum(1) * CARRIER / speed_of_light
    np.testing.assert_allclose(paths["doppler"].values[:, 0, 0], doppler, atol=1e-2)
    local = -towards_station @ rotation_matrix(ORIENTATION)
    wave = np.exp(2j * np.pi * local @ element_positions(stated.array).T)
    gain = speed_of_light / CARRIER / (4 * np.pi * distance) * np.exp(-2j * np.pi * CARRIER * distance / speed_of_light)
    turning = np.exp(2j * np.pi * doppler[:, None] * np.arange(4) * 1e-3)
    expected = gain[:, None, None] * turning[:, :, None] * wave[:, None]
    # One path that arrives at 0 after synchronisation: the same on all subcarriers.
    np.testing.assert_allclose(csi, np.repeat(expected[..., None], 8, axis=-1), rtol=0, atol=5e-3 * np.abs(gain).max())
    # The Doppler shift is what the motion does to the length of the path.
    moved = np.linalg.norm(vector + velocity * 1e-4, axis=1) - distance
    np.testing.assert_allclose(doppler, -moved / 1e-4 * CARRIER / speed_of_light, rtol=1e-2, atol=0.1)


def test_users_and_motion_repeat_with_the_seed(scenario):
    stated = section(scenario(), users=3)
    first, again, other = (read_deepmimo(stated, seed)[0] for seed in (0, 0, 1))
    for name in first.variables:
        np.testing.assert_array_equal(first[name].values, again[name].values)
    assert (first["velocity"].values != other["velocity"].values).any()
    assert len(np.unique(first["trajectory"].values)) == 3


def test_snapshots_are_the_first_slot(scenario):
    """One slot has the same users and paths; its time is 0."""
    files = scenario()
    one, many = (read_deepmimo(section(files, slots=slots), seed=0)[0] for slots in (1, 4))
    assert one["time"].values.tolist() == [0] and one["position"].shape[1] == 1
    np.testing.assert_array_equal(one["position"].values, many["position"].values[:, :1])
    first, all_slots = (frequency_response(paths, section(files).ofdm).numpy() for paths in (one, many))
    np.testing.assert_allclose(first, all_slots[:, :1], atol=1e-6 * np.abs(all_slots).max())


@pytest.mark.parametrize(
    ("made", "stated", "message"),
    [
        ({"frequency": 28e9}, {}, r"traced at 2\.8e\+10 Hz, carrier_frequency is 3\.5e\+09 Hz"),
        ({"scenes": 4}, {}, "4 scenes; only static"),
        ({}, {"transmitters": 1}, "transmitters is 1, allowed: 0"),
        ({}, {"receivers": 2}, "receivers is 2, allowed: 1"),
        ({}, {"users": 5}, "4 receivers are reached by a path, users is 5"),
        ({"delay": np.zeros((5, 1))}, {}, r"delay of transmitter 0 has shape \(5, 1\), expected \(5, 2\)"),
        ({"phase": np.full((5, 2), np.nan)}, {}, "NaN or infinite"),
    ],
)
def test_faults_of_a_scenario_are_named(scenario, made, stated, message):
    with pytest.raises(InputError, match=message):
        read_deepmimo(section(scenario(**made), **stated), seed=0)


def test_the_documented_entry_is_one_of_a_scenario(scenario, tmp_path):
    entry = documented("asu", tmp_path)
    assert isinstance(entry, ImportedDeepMIMO) and entry.shape == (16, 16, 32)
    # Of the receivers and sets of the scenario here.
    stated = entry.model_copy(update={"files": str(scenario()), "transmitters": 0, "receivers": 1, "users": 4})
    paths, _ = read_deepmimo(stated, seed=0)
    assert frequency_response(paths, stated.ofdm).shape == (4, 16, 16, 32)


def test_incomplete_folders_are_named(scenario, tmp_path):
    with pytest.raises(InputError, match=r"params\.json: no such file; files must be the folder of a DeepMIMO"):
        read_deepmimo(section(tmp_path / "absent"), seed=0)
    made = scenario()
    (made / "aoa_el_t000_tx000_r001.npz").unlink()
    with pytest.raises(InputError, match="neither aoa_el_t000_tx000_r001"):
        read_deepmimo(section(made), seed=0)
    (made / "params.json").write_text("{}")
    with pytest.raises(InputError, match="no parameters of a DeepMIMO v4 scenario"):
        read_deepmimo(section(made), seed=0)


def test_other_elements_than_isotropic_ones_are_refused():
    with pytest.raises(ValidationError, match="allowed: iso and V"):
        section("absent", array={"rows": 1, "columns": 4, "spacing": 0.5, "pattern": "tr38901", "polarisation": "V"})


def test_csi_is_that_of_the_ray_tracer(tmp_path, monkeypatch):
    """A scene of sionna-rt, exported by DeepMIMO and imported here, against the ray tracer's own response."""
    from wavefoundry.twin.llvm import prepare_ray_tracer

    prepare_ray_tracer()
    monkeypatch.chdir(tmp_path)
    import deepmimo
    import sionna.rt as rt
    from deepmimo.exporters.sionna_exporter import sionna_exporter

    scene = rt.load_scene(rt.scene.simple_street_canyon, merge_shapes=True)
    scene.frequency = CARRIER
    scene.tx_array = scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    scene.add(rt.Transmitter("station", position=[-33.0, 0.0, 20.0]))
    places = [[-20.0, 3.0, 1.5], [10.0, -4.0, 1.5], [0.0, 5.0, 1.5], [-55.0, 2.0, 1.5]]
    for number, place in enumerate(places):
        scene.add(rt.Receiver(f"user{number}", position=place))
    options = {"max_depth": 2, "samples_per_src": 20000, "synthetic_array": True, "seed": 1}
    traced = rt.PathSolver()(scene, **options)
    sionna_exporter(scene, traced, options, str(tmp_path / "exported"))
    deepmimo.convert(str(tmp_path / "exported"), scenario_name="canyon", vis_scene=False, overwrite=True)

    single = {"rows": 1, "columns": 1, "spacing": 0.5, "pattern": "iso", "polarisation": "V"}
    stated = section(tmp_path / "deepmimo_scenarios" / "canyon", array=single, orientation=[0.0, 0.0, 0.0])
    paths, _ = read_deepmimo(stated, seed=0)
    assert paths["valid"].values.sum() > 12
    offsets = subcarrier_offsets(stated.ofdm)
    expected = traced.cfr(frequencies=offsets, normalize_delays=False, out_type="numpy")
    user = [places.index(place) for place in paths["position"].values[:, 0].round(3).tolist()]
    expected = expected[user, 0, 0, 0, 0]
    found = frequency_response(paths, stated.ofdm).numpy()[:, 0, 0]
    first = np.where(paths["valid"].values, paths["delay"].values.astype(float), np.inf).min((1, 2))
    found = found * np.exp(-2j * np.pi * first[:, None] * offsets)
    assert np.linalg.norm(found - expected) < 1e-2 * np.linalg.norm(expected)
