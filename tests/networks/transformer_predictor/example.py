"""A small transformer."""

import torch

from tests.networks.sequences.example import SEQUENCES
from wavefoundry.networks.transformer_predictor.model import TransformerPredictor, build
from wavefoundry.networks.transformer_predictor.options import Options

SMALL = Options.model_validate(
    SEQUENCES
    | {
        "label_slots": 3,
        "hidden_size": 24,
        "heads": 2,
        "encoder_depth": 1,
        "decoder_depth": 1,
        "feed_forward": 32,
        "dropout": 0.0,
    }
)


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping: options(link={"horizon": 3})."""
    return SMALL.changed(changes)


def transformer_predictor(seed: int = 0, **changes) -> TransformerPredictor:
    """A fresh network in training mode."""
    torch.manual_seed(seed)
    return build(options(**changes), 1.0).train()
