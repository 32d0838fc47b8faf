"""Predicted and true angle-delay maps of one user of a data set, for the pictures of the report."""

from typing import TYPE_CHECKING

from stages import params
from stages.loading import load_split
from stages.paths import csi_store
from stages.questions import question_about

if TYPE_CHECKING:
    import numpy as np


def example_maps(parameters: params.Params, name: str, predictor) -> dict[str, "np.ndarray"]:
    """The last wanted slot of the fastest test user as predicted, for the first question that is answered.

    Returns:
        complex (angle, delay) by data set; see `wavefoundry.plots.prediction`.
    """
    maps: dict[str, np.ndarray] = {}
    for question, dataset in parameters.answered(name):
        if dataset not in maps:
            known, _, wanted = question_about(parameters, question, dataset).split(example_user(dataset))
            maps[dataset] = last_map(dataset, predictor.predict(known, *wanted))
    return maps


def example_user(dataset: str):
    """CSI (1, time, antenna, subcarrier) of the fastest test user, or of the first one where speeds are not known."""
    from storage.stores.csi_store import open_store, split_indices

    store = open_store(csi_store(dataset), "csi")
    user = int(store["speed"].values[split_indices(store, "test")].argmax()) if "speed" in store else 0
    return load_split(dataset, "test")[user : user + 1]


def last_map(dataset: str, csi) -> "np.ndarray":
    """The last slot of CSI (1, time, antenna, subcarrier) as a map (angle, delay)."""
    from storage.stores.csi_store import array_shape, open_store
    from wavefoundry.csi.angle_delay import to_angle_delay

    return to_angle_delay(csi[0, -1], array_shape(open_store(csi_store(dataset), "csi")), csi.shape[-1]).numpy()
