"""LWM: a transformer encoder over the patches of a channel, the baseline of WiMamba.

Source: Alikhani et al., "Large Wireless Model (LWM): A Foundation Model for Wireless Channels", arXiv:2411.08872, and
"WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367, which compares itself with version 1.1. Tokens,
masking and representations are WiMamba's; positions are learnt, and attention is full. The network whose weights are
published with WiMamba differs: it adds the residual of attention twice, uses ReLU in place of GELU, and normalises by
the unbiased deviation plus a small constant. Its weights would give other outputs here.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.lwm.options import Architecture, Options
from wavefoundry.networks.snapshots import channel_model
from wavefoundry.networks.snapshots.channel_model import ChannelModel
from wavefoundry.networks.snapshots.channel_tokens import CLASS_START, ChannelTokens
from wavefoundry.networks.snapshots.token_parts import in_parts
from wavefoundry.training.session import Trained, TrainingSession


class LWMConfig(NetworkConfig):
    """config.json of an LWM."""

    model_type = "lwm"
    options_class = Options


class Attention(nn.Module):
    def __init__(self, architecture: Architecture):
        super().__init__()
        size = architecture.hidden_size
        self.heads = architecture.heads
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        size, hidden = architecture.hidden_size, round(architecture.mlp_ratio * architecture.hidden_size)
        self.attention = Attention(architecture)
        self.dropout = nn.Dropout(architecture.dropout)
        self.mixing_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size), nn.Dropout(architecture.dropout)
        )
        self.mlp_norm = nn.LayerNorm(size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, token, hidden_size) -> the same shape."""
        return in_parts(self._after_attention, tokens, self.attention(tokens), dim=1)

    def _after_attention(self, tokens: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        tokens = self.mixing_norm(tokens + self.dropout(attended))
        return self.mlp_norm(self.mlp(tokens).add_(tokens))


class LWM(ChannelModel):
    """The transformer over the patches of a snapshot."""

    config_class = LWMConfig

    def __init__(self, config: LWMConfig):
        super().__init__(config)
        architecture: Architecture = config.settings.architecture
        size = architecture.hidden_size
        self.tokens = ChannelTokens(architecture.patch_sizes, size, architecture.max_seq_len)
        self.positions = nn.Parameter(torch.empty(architecture.max_seq_len, size))
        self.norm = nn.LayerNorm(size)
        self.layers = nn.ModuleList(Layer(architecture) for _ in range(architecture.depth))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, ChannelTokens):
            init.constant_(module.class_token, CLASS_START)
        elif module is self:
            init.normal_(self.positions, std=0.02)

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(hidden + self.positions[: hidden.shape[1]])
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


def build(options: Options, delay_fraction: float) -> LWM:
    """A fresh network."""
    return LWM(LWMConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """Masked channel modelling from fresh weights."""
    return channel_model.train(build(options, session.delay_fraction), options, session)


NETWORKS = (LWM,)
