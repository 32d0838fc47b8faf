"""A transformer of encoder and decoder that continues single sequences of a channel, all wanted slots at once.

Source: the transformer baseline of "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440,
and of its published code, which takes Informer ("Informer: Beyond Efficient Transformer for Long Sequence Time-Series
Forecasting", arXiv:2012.07436). We leave out what Informer has for sequences of hundreds of slots: its attention of a
part of the queries (ProbAttention), and the convolutions between encoder layers that halve the sequence. Attention is
full; that of the decoder among its own tokens is causal, as published.
"""

import torch
from torch import nn
from torch.nn import functional as F

from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.sequences.sequence_layers import CircularEmbedding
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.networks.sequences.sequence_network import train as train_sequences
from wavefoundry.networks.transformer_predictor.options import Options
from wavefoundry.training.session import Trained, TrainingSession


class TransformerPredictorConfig(NetworkConfig):
    """config.json of a transformer that predicts."""

    model_type = "transformer_predictor"
    options_class = Options


class TransformerPredictor(SequenceNetwork):
    """The encoder reads the known slots, the decoder the last of them and zeros in place of the wanted ones."""

    config_class = TransformerPredictorConfig

    def __init__(self, config: TransformerPredictorConfig):
        super().__init__(config)
        options: Options = config.settings
        self.label_slots = options.label_slots
        features = 2 * options.width
        self.known_embedding = CircularEmbedding(features, options.hidden_size, options.dropout)
        self.wanted_embedding = CircularEmbedding(features, options.hidden_size, options.dropout)
        self.transformer = nn.Transformer(
            options.hidden_size,
            options.heads,
            options.encoder_depth,
            options.decoder_depth,
            options.feed_forward,
            options.dropout,
            activation="gelu",
            batch_first=True,
        )
        self.projection = nn.Linear(options.hidden_size, features)
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        """See `SequenceNetwork`."""
        horizon = self.options.link.horizon
        start = F.pad(features[:, -self.label_slots :], (0, 0, 0, horizon))
        causal = nn.Transformer.generate_square_subsequent_mask(start.shape[1], device=features.device)
        hidden = self.transformer(
            self.known_embedding(features), self.wanted_embedding(start), tgt_mask=causal, tgt_is_causal=True
        )
        return self.projection(hidden[:, -horizon:])


def build(options: Options, delay_fraction: float) -> TransformerPredictor:
    """A fresh network."""
    return TransformerPredictor(TransformerPredictorConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: continuation of noisy CSI."""
    return train_sequences(build(options, session.delay_fraction), session)


NETWORKS = (TransformerPredictor,)
