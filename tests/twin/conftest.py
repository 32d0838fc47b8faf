import pytest

from wavefoundry.twin.options import RayTracedTwin

SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2}


@pytest.fixture
def canyon():
    """A small ray-traced twin whose array and orientation are not symmetric in anything."""

    def make(**changes) -> RayTracedTwin:
        values = {
            "kind": "ray_traced",
            "site": {
                "scene": "simple_street_canyon",
                "centre": [-33.0, 0.0],
                "radius": 80.0,
                "traffic": {
                    "vehicles": 5,
                    "pedestrians": 3,
                    "vehicle_speed": [5.0, 15.0],
                    "pedestrian_speed": [0.5, 2.0],
                    "turn_probability": 0.3,
                    "vehicle_height": 1.6,
                    "pedestrian_height": 1.5,
                    "cell_size": 1.0,
                    "clearance": 2.0,
                    "lane_offset": 2.0,
                },
                "sampling": {"windows": 3, "window_interval": 0.5, "slots": 6, "slot_duration": 1e-3},
                "split": SPLIT,
            },
            "carrier_frequency": 3.5e9,
            "base_stations": [{"position": [-33.0, 0.0, 20.0], "orientation": [0.4, 0.1, -0.2]}],
            "array": {"rows": 2, "columns": 3, "spacing": 0.6, "pattern": "tr38901", "polarisation": "V"},
            "tracing": {
                "max_depth": 2,
                "samples_per_source": 20000,
                "diffuse_reflection": False,
                "diffraction": True,
                "vehicles_scatter": False,
                "keys": {"kind": "continuous", "interval": 5},
                "max_paths": 200,
                "users_per_call": 10,
            },
        }
        return RayTracedTwin.model_validate(_changed(values, changes))

    return make


def _changed(values: dict, changes: dict) -> dict:
    for key, value in changes.items():
        *sections, last = key.split("__")
        section = values
        for name in sections:
            section = section[int(name) if name.isdigit() else name]
        section[last] = value
    return values
