"""A small WiFo."""

import torch

from tests.networks.example import TRAINING
from wavefoundry.networks.wifo.model import WiFo, build
from wavefoundry.networks.wifo.options import Options

SMALL = Options.model_validate(
    {
        "architecture": {
            "patch_size": [2, 2, 2],
            "hidden_size": 32,
            "encoder_depth": 2,
            "decoder_depth": 1,
            "heads": 4,
            "mlp_ratio": 2.0,
            "position_rule": "own",
            "linear_prediction": None,
        },
        "masking": {"random": 0.85, "time": 0.5, "frequency": 0.5},
        "snr_db": [20.0, 20.0],
        "training": TRAINING,
        "warm_start": False,
    }
)


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(architecture={"heads": 2})."""
    return SMALL.changed(changes)


def wifo(seed: int = 0, **changes) -> WiFo:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()


def plainly_drawn(model: WiFo) -> WiFo:
    """With weights drawn without regard to positions.

    Heads that compare positions exactly, with which WiFo starts, have logits so large that rounding to eight bits
    changes what they look at; how much a trained network loses is measured when it is registered.
    """
    for module in model.modules():
        model._init_weights(module)
    return model
