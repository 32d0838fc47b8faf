"""CSI-ALM-Light: a small transformer that continues the CSI of an antenna port.

Source: "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and Knowledge
Distillation", arXiv:2505.12729, equations 26 to 28. The paper does not state the width of the feed-forward layers;
with 128, the embedding of its teacher and a linear map over time, the published number of weights is met.
"""

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.csi_alm_light.options import Options
from wavefoundry.networks.sequences import sequence_network
from wavefoundry.networks.sequences.sequence_layers import CircularEmbedding, OverTime, Projection
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.training.session import Trained, TrainingSession


class CSIALMLightConfig(NetworkConfig):
    """config.json of a CSI-ALM-Light."""

    model_type = "csi_alm_light"
    options_class = Options


class CSIALMLight(SequenceNetwork):
    """See the module."""

    config_class = CSIALMLightConfig

    def __init__(self, config: CSIALMLightConfig):
        super().__init__(config)
        options: Options = config.settings
        link, features, shape = options.link, 2 * options.width, options.architecture
        self.embedding = CircularEmbedding(features, shape.hidden_size, shape.dropout)
        self.over_time = OverTime(link.known_slots, link.known_slots)
        self.prompts = nn.Parameter(0.02 * torch.randn(shape.prompts, shape.hidden_size))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                shape.hidden_size, shape.heads, shape.feed_forward, shape.dropout, batch_first=True
            )
            for _ in range(shape.depth)
        )
        self.projection = Projection(shape.hidden_size, features, shape.prompts + link.known_slots, link.horizon)
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        tokens = self.over_time(self.embedding(features))
        tokens = torch.cat([self.prompts.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        for layer in self.layers:
            entering = tokens
            tokens = layer(tokens)
        attention = cast(nn.TransformerEncoderLayer, layer).self_attn
        trace.queries_keys_values = F.linear(entering, attention.in_proj_weight, attention.in_proj_bias).chunk(
            3, dim=-1
        )
        return self.projection(tokens)


def build(options: Options, delay_fraction: float) -> CSIALMLight:
    """A fresh network."""
    return CSIALMLight(CSIALMLightConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: NMSE of the continuation."""
    return sequence_network.train(build(options, session.delay_fraction), session)


NETWORKS = (CSIALMLight,)
