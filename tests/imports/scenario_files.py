"""Where station and receivers of a test's scenario stand, and the section of params.yaml that reads it."""

import numpy as np

from wavefoundry.imports.options import ImportedDeepMIMO

CARRIER = 3.5e9
STATION = np.array([1.0, -2.0, 20.0])
ORIENTATION = [0.4, 0.1, -0.2]
RECEIVERS = np.array([[50.0, 10.0, 1.5], [30.0, -25.0, 1.5], [20.0, 40.0, 1.5], [60.0, 5.0, 1.5], [-30.0, 9.0, 2.0]])


def section(files, **changes) -> ImportedDeepMIMO:
    values = {
        "kind": "deepmimo",
        "files": str(files),
        "transmitters": 0,
        "receivers": 1,
        "carrier_frequency": CARRIER,
        "carrier_phase": False,
        "array": {"rows": 2, "columns": 3, "spacing": 0.5, "pattern": "iso", "polarisation": "V"},
        "orientation": ORIENTATION,
        "users": 4,
        "speed": [10.0, 30.0],
        "slots": 4,
        "slot_duration": 1e-3,
        "max_paths": 25,
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "ofdm": {"subcarriers": 8, "subcarrier_spacing": 180e3, "timing_advance": 0.0, "links_per_call": 100},
    }
    return ImportedDeepMIMO.model_validate(values | changes)


def angles(vector):
    """Azimuth and zenith [degree]."""
    zenith = np.arccos(vector[:, 2] / np.linalg.norm(vector, axis=1))
    return np.degrees(np.arctan2(vector[:, 1], vector[:, 0])), np.degrees(zenith)
