"""A predictor without training beside networks: tensors in, tensors out."""

import torch
from pydantic import BaseModel

from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.evaluation.methods import make, why_not_predict


class MethodPredictor:
    """A method of `wavefoundry.predictors` as a `wavefoundry.networks.capabilities.Predictor`."""

    def __init__(self, method: str, options: BaseModel):
        self._predictor, self._options = make(method, options), options

    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.Predictor`.

        Raises:
            InputError: as `checked` says, or a size for which the method says that it cannot answer.
        """
        if reason := why_not_predict(self._options, (known.shape[1], known.shape[3]), (slots, subcarriers)):
            raise InputError(reason)
        return torch.from_numpy(self._predictor.predict(known.numpy(), slots, subcarriers))
