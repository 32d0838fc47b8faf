"""LWM: a transformer encoder over the patches of a channel, the baseline of WiMamba.

Alikhani et al., "Large Wireless Model (LWM): A Foundation Model for Wireless Channels", arXiv 2411.08872, in version
1.1. Tokens, masking and representations are WiMamba's; positions are learnt, and attention is full.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers import initialization as init

from wavefoundry.errors import InputError
from wavefoundry.models.channel_model import ChannelModel
from wavefoundry.models.channel_tokens import CLASS_START, ChannelTokens
from wavefoundry.models.token_parts import in_parts


class LWMConfig(PreTrainedConfig):
    """Defaults are the published model, with WiMamba's granularities.

    patch_sizes: granularities, side lengths of a patch.
    max_seq_len: most tokens of a snapshot, class token included; each has a learnt position.
    mask_ratio: share of the tokens that training masks.
    """

    model_type = "lwm"

    patch_sizes: list[int] | tuple[int, ...] = (2, 4, 6, 8)
    hidden_size: int = 128
    depth: int = 12
    heads: int = 8
    mlp_ratio: float = 4.0
    dropout: float = 0.1
    max_seq_len: int = 513
    mask_ratio: float = 0.4


class Attention(nn.Module):
    def __init__(self, config: LWMConfig):
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, config: LWMConfig):
        super().__init__()
        size, hidden = config.hidden_size, round(config.mlp_ratio * config.hidden_size)
        self.attention = Attention(config)
        self.dropout = nn.Dropout(config.dropout)
        self.mixing_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size), nn.Dropout(config.dropout)
        )
        self.mlp_norm = nn.LayerNorm(size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, token, hidden_size) -> the same shape."""
        return in_parts(self._after_attention, tokens, self.attention(tokens), dim=1)

    def _after_attention(self, tokens: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        tokens = self.mixing_norm(tokens + self.dropout(attended))
        return self.mlp_norm(self.mlp(tokens).add_(tokens))


class LWM(ChannelModel):
    config_class = LWMConfig

    def __init__(self, config: LWMConfig):
        super().__init__(config)
        if config.hidden_size % config.heads:
            raise InputError(f"heads is {config.heads}, it must divide hidden_size {config.hidden_size}")
        self.tokens = ChannelTokens(config.patch_sizes, config.hidden_size, config.max_seq_len)
        self.positions = nn.Parameter(torch.empty(config.max_seq_len, config.hidden_size))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
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
