"""A small recurrent network."""

import torch

from tests.networks.sequences.example import SEQUENCES
from wavefoundry.networks.recurrent.model import Recurrent, build
from wavefoundry.networks.recurrent.options import Options

SMALL = Options.model_validate(SEQUENCES | {"cell": "gru", "input_size": 12, "hidden_size": 24, "depth": 1})


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(link={"horizon": 3})."""
    return SMALL.changed(changes)


def recurrent(seed: int = 0, **changes) -> Recurrent:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()
