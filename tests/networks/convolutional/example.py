"""A small convolutional network."""

import torch

from tests.networks.sequences.example import SEQUENCES
from wavefoundry.networks.convolutional.model import Convolutional, build
from wavefoundry.networks.convolutional.options import Options

SMALL = Options.model_validate(SEQUENCES | {"channels": [8, 16]})


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(link={"horizon": 3})."""
    return SMALL.changed(changes)


def convolutional(seed: int = 0, **changes) -> Convolutional:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()
