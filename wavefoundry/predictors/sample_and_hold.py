"""Sample-and-hold: the last known slot and the last known subcarrier stand for all that follow.

What is registered is the graph that wavefoundry/deployment/predictors/sample_and_hold.py writes of it.
"""

import numpy as np
from pydantic import BaseModel


class Options(BaseModel):
    """There is nothing to set."""


class Predictor:
    """What an engineer has without any prediction."""

    def __init__(self, options: Options):
        pass

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """Repeat the last known values; see `wavefoundry.evaluation.methods.NumpyPredictor`."""
        held = np.repeat(known[:, -1:], slots, axis=1) if slots else known
        return np.repeat(held[..., -1:], subcarriers, axis=3) if subcarriers else held
