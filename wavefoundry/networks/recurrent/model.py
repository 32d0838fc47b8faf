"""A recurrent network (RNN, GRU or LSTM) that continues single sequences of a channel, slot after slot.

Source: the recurrent baselines of "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440,
and of its published code. There their sizes are not told.
"""

import torch
from torch import nn

from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.recurrent.options import Options
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.networks.sequences.sequence_network import train as train_sequences
from wavefoundry.training.session import Trained, TrainingSession

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentConfig(NetworkConfig):
    """config.json of a recurrent network."""

    model_type = "recurrent"
    options_class = Options


class Recurrent(SequenceNetwork):
    """Reads the known slots in turn, then its own answers.

    Where the adjacent band is wanted, as published, it is fed with answers too: the known band until the last known
    slot, the adjacent band after it. It has to tell one from the other by its state.
    """

    config_class = RecurrentConfig

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        options: Options = config.settings
        features = 2 * options.width
        self.encoder = nn.Linear(features, options.input_size)
        self.layers = LAYERS[options.cell](options.input_size, options.hidden_size, options.depth, batch_first=True)
        self.decoder = nn.Linear(options.hidden_size, features)
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        """See `SequenceNetwork`."""
        hidden, state = self.layers(self.encoder(features))
        found = [self.decoder(hidden[:, -1:])]
        for _ in range(self.options.link.horizon - 1):
            hidden, state = self.layers(self.encoder(found[-1]), state)
            found.append(self.decoder(hidden))
        return torch.cat(found, dim=1)


def build(options: Options, delay_fraction: float) -> Recurrent:
    """A fresh network."""
    return Recurrent(RecurrentConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: continuation of noisy CSI."""
    return train_sequences(build(options, session.delay_fraction), session)


NETWORKS = (Recurrent,)
