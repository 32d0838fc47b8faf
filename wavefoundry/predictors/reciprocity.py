"""Reciprocity: the last known slot of the known band stands for what follows, and for the band right above it.

In time this is sample-and-hold. For a band above, as wide as the known one or narrower, it is what a base station does
that takes uplink CSI for downlink CSI on another carrier ("Bridging the Modality Gap: Enhancing Channel Prediction with
Semantically Aligned LLMs and Knowledge Distillation", arXiv:2505.12729, section V).

What is registered is the graph that wavefoundry/deployment/predictors/reciprocity.py writes of it.
"""

import numpy as np
from pydantic import BaseModel


class Options(BaseModel):
    """There is nothing to set."""


class Predictor:
    """The uplink used as the downlink; a wider band above repeats the known one."""

    def __init__(self, options: Options):
        pass

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """Shift the known band; see `wavefoundry.evaluation.methods.NumpyPredictor`."""
        held = np.repeat(known[:, -1:], slots, axis=1) if slots else known
        return held[..., np.arange(subcarriers) % known.shape[3]] if subcarriers else held
