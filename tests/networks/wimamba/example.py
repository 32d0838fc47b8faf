"""WiMambas, a small one and the published one."""

import torch
from torch import nn

from tests.networks.example import TRAINING
from wavefoundry.networks.wimamba.model import WiMamba, build
from wavefoundry.networks.wimamba.options import Options

SMALL = Options.model_validate(
    {
        "architecture": {
            "patch_sizes": [2, 3, 4],
            "max_seq_len": 4096,
            "mask_ratio": 0.4,
            "dropout": 0.1,
            "depth": 2,
            "hidden_size": 32,
            "state_size": 8,
            "conv_kernel": 4,
            "expand": 1.2,
            "mlp_ratio": 4.0,
        },
        "training": TRAINING,
    }
)
PUBLISHED = {"patch_sizes": [2, 4, 6, 8], "depth": 12, "hidden_size": 128}


def options(**changes) -> Options:
    """Options with some values of the architecture replaced."""
    return SMALL.changed({"architecture": changes})


def number_of_weights(*modules: nn.Module) -> int:
    """How many numbers modules learn."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def wimamba(seed: int = 0, **changes) -> WiMamba:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()
