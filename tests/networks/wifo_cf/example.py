"""A small WiFo-CF."""

import torch

from tests.networks.example import TRAINING
from wavefoundry.networks.wifo_cf.model import WiFoCF, build
from wavefoundry.networks.wifo_cf.options import Options

SMALL = Options.model_validate(
    {
        "architecture": {
            "hidden_size": 32,
            "encoder_depth": 2,
            "decoder_depth": 2,
            "heads": 4,
            "experts": {"routed": 6, "chosen": 2, "shared": 1, "hidden_size": 16},
            "channels": 4,
            "shortcut": True,
            "dropout": 0.0,
        },
        "rates": [3, 7],
        "companding": 255.0,
        "snr_db": [20.0, 20.0],
        "uplink": {"snr_db": 10.0, "modulation": "qpsk", "repetitions": 1},
        "quantisation_weight": 0.1,
        "balance": "switch",
        "balance_weight": 0.01,
        "training": TRAINING,
    }
)


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(architecture={"heads": 2})."""
    return SMALL.changed(changes)


def wifo_cf(seed: int = 0, **changes) -> WiFoCF:
    """A fresh codec in evaluation mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).eval()
