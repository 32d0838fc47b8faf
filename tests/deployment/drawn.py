"""Channels and weights that are drawn, so that a served predictor can be compared with what it was made of."""

import numpy as np
import torch
from torch import nn


def channel(*shape: int, seed: int = 0) -> np.ndarray:
    """Circular Gaussian values, complex64 of a shape."""
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


@torch.no_grad()
def let_all_weights_count(model: nn.Module) -> None:
    """Move all weights, of which fresh networks have some at 0."""
    for weights in model.parameters():
        weights.add_(0.2 * torch.randn(weights.shape))
