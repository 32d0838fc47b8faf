"""A convolutional network over the image (slot, value) of a single sequence.

Source: the CNN baseline of "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440, and of
its published code, where it is called an autoencoder. It has no bottleneck: every layer keeps the size of the image.
"""

from itertools import pairwise

import torch
from torch import nn

from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.convolutional.options import Options
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.networks.sequences.sequence_network import train as train_sequences
from wavefoundry.training.session import Trained, TrainingSession


class ConvolutionalConfig(NetworkConfig):
    """config.json of a convolutional network."""

    model_type = "convolutional"
    options_class = Options


class Convolutional(SequenceNetwork):
    """Convolutions of 3 x 3 up to many channels and back, tanh after each; then one along the features.

    The last convolution has the known slots as its channels in and the predicted ones as its channels out.
    """

    config_class = ConvolutionalConfig

    def __init__(self, config: ConvolutionalConfig):
        super().__init__(config)
        options: Options = config.settings
        up = [2, *options.channels]
        layers: list[nn.Module] = []
        for before, after in pairwise(up + up[-2::-1]):
            layers += [_convolution(before, after), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.over_slots = nn.Conv1d(options.link.known_slots, options.link.horizon, 3, padding=1)
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        """See `SequenceNetwork`."""
        image = features.unflatten(2, (-1, 2)).permute(0, 3, 1, 2)
        return self.over_slots(self.layers(image).permute(0, 2, 3, 1).flatten(2))


def _convolution(before: int, after: int) -> nn.Conv2d:
    """With the published first weights."""
    layer = nn.Conv2d(before, after, 3, padding=1)
    nn.init.uniform_(layer.weight, -(before**-0.5), before**-0.5)
    assert layer.bias is not None  # unless asked for
    nn.init.zeros_(layer.bias)
    return layer


def build(options: Options, delay_fraction: float) -> Convolutional:
    """A fresh network."""
    return Convolutional(ConvolutionalConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: continuation of noisy CSI."""
    return train_sequences(build(options, session.delay_fraction), session)


NETWORKS = (Convolutional,)
