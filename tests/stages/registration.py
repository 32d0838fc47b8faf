"""Predictors in the registry of the present folder, without the stage that chooses what gets in."""

from pathlib import Path

import numpy as np

from stages.served_form import REQUIREMENTS, SERVED
from storage.tracking.registry import Registry, Version, log_predictor
from storage.tracking.runs import Run
from wavefoundry.deployment import served_predictor


def register(name: str, forms: dict[str, Path], known: np.ndarray) -> Version:
    """Register a predictor as it is served.

    Args:
        name: in the registry.
        forms: what is served, by the name of the artifact: "served", and "int8" where there is one.
        known: an example of what it continues.
    """
    run = Run("register", {}, {})
    model_id = log_predictor(
        name,
        forms | {"code": Path(served_predictor.__file__)},
        run_id=run.id,
        python_file=SERVED,
        requirements=REQUIREMENTS,
        example=(known, {"slots": 2, "subcarriers": 0}),
        layout="any",
        choices={"precision": "fp32"},
    )
    return Registry().register(name, model_id, run.id, {})
