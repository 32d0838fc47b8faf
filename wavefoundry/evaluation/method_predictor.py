"""A predictor without training beside networks: tensors in, tensors out."""

import torch
from pydantic import BaseModel

from wavefoundry.csi.prediction import checked
from wavefoundry.evaluation.methods import make


class MethodPredictor:
    """A method of `wavefoundry.predictors` as a `wavefoundry.networks.capabilities.Predictor`."""

    def __init__(self, method: str, options: BaseModel):
        self._predictor = make(method, options)

    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.Predictor`."""
        return torch.from_numpy(self._predictor.predict(known.numpy(), slots, subcarriers))
