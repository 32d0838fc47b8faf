"""A small CSI-ALM-Light."""

import torch

from tests.networks.csi_alm.example import PORTS
from wavefoundry.networks.csi_alm_light.model import CSIALMLight, build
from wavefoundry.networks.csi_alm_light.options import Options

SMALL = {"hidden_size": 24, "depth": 2, "heads": 4, "feed_forward": 16, "prompts": 2, "dropout": 0.0}


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping."""
    return Options.model_validate(PORTS | {"architecture": SMALL}).changed(changes)


def light(seed: int = 0, **changes) -> CSIALMLight:
    """A fresh network in evaluation mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).eval()
