"""A scenario in DeepMIMO's format, written for a test."""

import json

import numpy as np
import pytest
import scipy.io
from scipy.constants import speed_of_light

from tests.imports.scenario_files import CARRIER, RECEIVERS, STATION, angles


@pytest.fixture
def scenario(tmp_path):
    """A scenario of direct paths, and one receiver without any path; changes replace matrices."""

    def make(form="npz", frequency=CARRIER, scenes=1, **changes):
        vector = RECEIVERS - STATION
        distance = np.linalg.norm(vector, axis=1)
        departure, arrival = angles(vector), angles(-vector)
        matrices = {
            "power": 20 * np.log10(speed_of_light / CARRIER / (4 * np.pi * distance)),
            "phase": np.zeros(len(distance)),
            "delay": distance / speed_of_light,
            "aod_az": departure[0],
            "aod_el": departure[1],
            "aoa_az": arrival[0],
            "aoa_el": arrival[1],
            "inter": np.zeros(len(distance)),
        }
        # A second path is there for nobody.
        matrices = {name: np.stack([values, np.full(5, np.nan)], axis=1) for name, values in matrices.items()}
        for values in matrices.values():
            values[4] = np.nan
        matrices |= {"rx_pos": RECEIVERS, "tx_pos": STATION[None]} | changes
        for name, values in matrices.items():
            path = tmp_path / f"{name}_t000_tx000_r001.{form}"
            values = np.asarray(values, np.float32)
            np.savez(path, **{name: values}) if form == "npz" else scipy.io.savemat(path, {name: values})
        sets = [{"id": 0, "is_tx": True, "is_rx": False, "num_points": 1}]
        sets += [{"id": 1, "is_tx": False, "is_rx": True, "num_points": 5}]
        parameters = {
            "txrx_sets": {f"txrx_set_{entry['id']}": entry for entry in sets},
            "scene": {"num_scenes": scenes},
            "rt_params": {"frequency": frequency},
        }
        (tmp_path / "params.json").write_text(json.dumps(parameters))
        return tmp_path

    return make
