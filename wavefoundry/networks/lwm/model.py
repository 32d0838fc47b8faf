"""LWM: a transformer encoder over the patches of a channel, the baseline of WiMamba.

Source: Alikhani et al., "Large Wireless Model (LWM): A Foundation Model for Wireless Channels", arXiv:2411.08872, and
"WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367, which compares itself with version 1.1. Tokens,
masking and representations are WiMamba's; attention is full, and positions are learnt by the index of a token. Beside
them stand fixed ones of row and column, which are ours: the same index is another place at every granularity. The
network whose weights are published with WiMamba differs in more: it adds the residual of attention twice, uses ReLU in
place of GELU, and normalises by the unbiased deviation plus a small constant. Its weights would give other outputs
here.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from wavefoundry.networks.axis_positions import (
    PositionSpace,
    carry_contents,
    pass_contents_on,
    position_encoding,
)
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.lwm.options import Architecture, Options
from wavefoundry.networks.snapshots import channel_model
from wavefoundry.networks.snapshots.channel_model import ChannelModel
from wavefoundry.networks.snapshots.channel_tokens import CLASS_START, ChannelTokens
from wavefoundry.networks.snapshots.token_parts import in_parts
from wavefoundry.training.session import Trained, TrainingSession

# Start of training, see start_beside: the share of what lies beside that all layers together pass on.
SHARE = 2.0
QUIET = 0.1  # of what feed-forward layers say
# (axis, step) that the first heads look at; the next ones look twice as far, and so on.
DIRECTIONS = ((0, 1), (0, -1), (1, 1), (1, -1))


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
        # from_pretrained builds on the meta device and fills in what it loads.
        if self.device.type != "meta":
            start_beside(self)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, ChannelTokens):
            init.constant_(module.class_token, CLASS_START)
        elif module is self:
            init.normal_(self.positions, std=0.02)

    def encode(self, hidden: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        places = position_encoding(grid, position_widths(hidden.shape[2])).to(hidden)
        # The class token, which comes first, is nowhere.
        hidden = hidden + self.positions[: hidden.shape[1]] + F.pad(places, (0, 0, 1, 0))
        hidden = self.norm(hidden)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


@torch.no_grad()
def start_beside(model: LWM) -> None:
    """Initial weights from which a small training gets somewhere: see `wavefoundry.networks.axis_positions`.

    Choice, where the paper is silent. Each head looks at the patch beside, on one side of it (antenna or subcarrier,
    before or after), and passes on what it carries; feed-forward layers start nearly silent. Sides have heads of their
    own, for from patch to patch a channel turns one way or the other: the mean of both sides would be nothing. From
    PyTorch's own start the masked error stays above -0.5 dB for a thousand steps, from here WiMamba's is reached.
    """
    architecture: Architecture = model.config.settings.architecture
    size, heads = architecture.hidden_size, architecture.heads
    width, space = size // heads, PositionSpace(position_widths(size))
    tokens = model.tokens
    for patch_size in tokens.embeddings:
        embedding, head = (cast(nn.Linear, layers[patch_size]) for layers in (tokens.embeddings, tokens.heads))
        carry_contents(space.contents, embedding.weight, head.weight)
        for layer in (embedding, head):
            init.zeros_(layer.bias)
    for block in cast(Iterable[Layer], model.layers):
        query, key, value = block.attention.qkv.weight.view(3, heads, width, size)
        for index in range(heads):
            axis, side = DIRECTIONS[index % len(DIRECTIONS)]
            steps = side * (1 + index // len(DIRECTIONS))
            space.beside(axis, steps, width).start(query[index], key[index])
        init.zeros_(block.attention.qkv.bias)
        pass_contents_on(space.contents, value.view(size, size), block.attention.out.weight, SHARE / len(model.layers))
        last = cast(nn.Linear, block.mlp[2])
        for layer in (block.attention.out, last):
            init.zeros_(layer.bias)
        last.weight.mul_(QUIET)


def position_widths(size: int) -> tuple[int, int]:
    """Features of the position along antennas and subcarriers: even numbers with the sum `size`, which must be even."""
    half = 2 * (size // 4)
    return half, size - half


def build(options: Options, delay_fraction: float) -> LWM:
    """A fresh network."""
    return LWM(LWMConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """Masked channel modelling from fresh weights."""
    return channel_model.train(build(options, session.delay_fraction), options, session)


NETWORKS = (LWM,)
