"""What every predictor is asked for and answers, checked in one way."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

from wavefoundry.csi.given import SEQUENCES, as_csi, require_finite
from wavefoundry.csi.silence import silent
from wavefoundry.errors import InputError

# A prediction, alone or with what else is said of each sample.
Answer = TypeVar("Answer", torch.Tensor, tuple[torch.Tensor, torch.Tensor])
Predict = Callable[[Any, torch.Tensor, int, int], Answer]


def checked(predict: Predict[Answer]) -> Predict[Answer]:
    """Around a method `predict(self, known, slots, subcarriers)`, see `wavefoundry.networks.capabilities`.

    The known block may be of any complex type and becomes complex64. The method sees it divided by a power of two, so
    that its largest value is about 1: powers stay within single precision at any amplitude, and nothing is rounded.
    What comes back is multiplied by it, the errors to be expected by its square. Silence is continued by silence: a
    sample whose known block is 0 throughout gets zeros, and the method does not see it, so that it says nothing to
    those beside it.

    Raises:
        InputError: `known` is no complex tensor of four axes or has values that are not finite, a number is negative,
            or nothing is asked for.
    """

    @wraps(predict)
    def answer(self: Any, known: torch.Tensor, slots: int, subcarriers: int) -> Answer:
        _require_extent(slots, subcarriers)
        known = as_csi(known, SEQUENCES)
        require_finite(known)
        unit = _unit(known)
        known = known * (1 / unit)
        heard = ~silent(known)
        # A batch of silence alone is asked about, too: for its size may be one that is refused.
        found = predict(self, known[heard] if heard.any() and not heard.all() else known, slots, subcarriers)
        if isinstance(found, torch.Tensor):
            return _among_silence(found * unit, heard)
        prediction, more = found
        # Twice, for the square may be beyond single precision.
        return _among_silence(prediction * unit, heard), _among_silence(more * unit * unit, heard)

    return answer


def _unit(csi: torch.Tensor) -> float:
    """The power of two for all samples by which the largest part of their values comes to lie from 1 to 2."""
    largest = torch.view_as_real(csi.resolve_conj()).abs().max().item() if csi.numel() else 1.0
    return max(math.ldexp(1.0, math.frexp(largest)[1] - 1), torch.finfo(torch.float32).tiny)


def _among_silence(found: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    """What was found of the samples that are `heard` (batch,), and zeros for the others."""
    if heard.all():
        return found
    whole = found.new_zeros(len(heard), *found.shape[1:])
    if heard.any():
        whole[heard.to(found.device)] = found
    return whole


def _require_extent(slots: int, subcarriers: int) -> None:
    """Refuse a prediction of nothing; 0 slots (subcarriers) stand for the known ones."""
    if slots < 0 or subcarriers < 0 or slots + subcarriers < 1:
        raise InputError(
            f"slots is {slots} and subcarriers is {subcarriers}; allowed: whole numbers from 0, one of them at least 1"
        )
