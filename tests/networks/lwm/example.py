"""LWMs, a small one and the published one."""

import torch

from tests.networks.example import TRAINING
from wavefoundry.networks.lwm.model import LWM, build
from wavefoundry.networks.lwm.options import Options

SMALL = Options.model_validate(
    {
        "architecture": {
            "patch_sizes": [2, 3, 4],
            "max_seq_len": 65,
            "mask_ratio": 0.4,
            "dropout": 0.1,
            "depth": 2,
            "hidden_size": 32,
            "heads": 4,
            "mlp_ratio": 4.0,
        },
        "training": TRAINING,
    }
)
# With WiMamba's granularities.
PUBLISHED = {"patch_sizes": [2, 4, 6, 8], "max_seq_len": 513, "depth": 12, "hidden_size": 128, "heads": 8}


def options(**changes) -> Options:
    """Options with some values of the architecture replaced."""
    return SMALL.changed({"architecture": changes})


def lwm(seed: int = 0, **changes) -> LWM:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()
