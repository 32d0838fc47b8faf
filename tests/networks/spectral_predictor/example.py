"""A small spectral predictor."""

import torch

from tests.networks.example import TRAINING
from wavefoundry.networks.spectral_predictor.model import SpectralPredictor, build
from wavefoundry.networks.spectral_predictor.options import Options

SMALL = Options.model_validate(
    {
        "architecture": {
            "frequencies": 32,
            "hidden_size": 24,
            "depth": 2,
            "orders": {"time": [3, 2], "frequency": [4, 2]},
            "share": 0.5,
            "damping": 0.99,
            "noise_floor": 1e-3,
        },
        "known_share": 0.5,
        "draws": {"bins": 8, "time": 0.5, "usual": 0.5, "crop": 0.3, "every_second": 0.15, "spectrum_weight": 0.5},
        "snr_db": [20.0, 20.0],
        "training": TRAINING,
    }
)


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(architecture={"depth": 1})."""
    return SMALL.changed(changes)


def spectral_predictor(seed: int = 0, **changes) -> SpectralPredictor:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()


def gaussian_channels(samples: int, seed: int) -> torch.Tensor:
    """Sums of a few paths with complex Gaussian gains: (sample, slot, antenna, subcarrier), of unit mean power."""
    generator, axes = torch.Generator().manual_seed(seed), (torch.arange(12), torch.arange(4), torch.arange(8))
    paths = 0
    for _ in range(4):
        gain = torch.randn(samples, 1, 1, 1, dtype=torch.complex64, generator=generator) / 2
        turns = torch.rand(samples, 3, generator=generator) * torch.tensor([0.3, 1.0, 0.3])
        time, space, frequency = (
            torch.polar(torch.ones(samples, len(axis)), 2 * torch.pi * turns[:, [place]] * axis)
            for place, axis in enumerate(axes)
        )
        paths = paths + gain * time[:, :, None, None] * space[:, None, :, None] * frequency[:, None, None]
    return paths
