"""What a predictor promises whose weights are of another floating-point type."""

import torch

from wavefoundry.networks.capabilities import Predictor


def assert_takes_weights_of(dtype: torch.dtype, network: Predictor, known: torch.Tensor) -> None:
    """With rounded weights the next two slots are nearly the same, and still complex64."""
    expected = network.predict(known, 2, 0)
    found = network.to(dtype).predict(known, 2, 0)
    assert found.dtype == torch.complex64
    assert (found - expected).norm() < (1e-3 if dtype == torch.float64 else 0.1) * expected.norm()
