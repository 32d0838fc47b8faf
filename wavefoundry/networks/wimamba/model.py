"""WiMamba: bidirectional selective state spaces over the patches of a channel, at any of several granularities.

Source: "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367. One set of weights serves all granularities
and all sizes: there is no positional encoding, and the cost is linear in the number of tokens. The layers are those of
the published network; that also has a LayerNorm behind the embedding, a linear layer, GELU and LayerNorm before the
decoder, a dropout inside the feed-forward layers, and a constant class token that is sent through the embedding. Its
weights would give other outputs here.
"""

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.snapshots import channel_model
from wavefoundry.networks.snapshots.channel_model import ChannelModel
from wavefoundry.networks.snapshots.channel_tokens import CLASS_START, ChannelTokens
from wavefoundry.networks.snapshots.token_parts import in_parts
from wavefoundry.networks.wimamba.options import Architecture, Options
from wavefoundry.networks.wimamba.selective_scan import selective_scan
from wavefoundry.training.session import Trained, TrainingSession

# Steps at the start of training are spread log-uniformly in this range, as in mamba-ssm.
STEP_RANGE = (0.001, 0.1)
STEP_FLOOR = 1e-4


class WiMambaConfig(NetworkConfig):
    """config.json of a WiMamba."""

    model_type = "wimamba"
    options_class = Options


def inner_size(architecture: Architecture) -> int:
    """Channels of the scan of one direction, whose width is half of the network's."""
    return int(architecture.expand * (architecture.hidden_size // 2))


def step_rank(architecture: Architecture) -> int:
    """Rank of the projection from which the steps of a scan come, as in mamba-ssm."""
    return math.ceil(architecture.hidden_size / 2 / 16)


class Mamba(nn.Module):
    """One Mamba without its scan. Names and shapes of the weights are those of `mamba_ssm.Mamba`."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        width, states, kernel = architecture.hidden_size // 2, architecture.state_size, architecture.conv_kernel
        inner, rank = inner_size(architecture), step_rank(architecture)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel, groups=inner, padding=kernel - 1)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, states))
        self.D = nn.Parameter(torch.empty(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.split_sizes = (rank, states, states)

    def before_scan(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Gate (token, batch, channel), and what this direction gives to the scan: inputs, steps, B and C.

        Args:
            tokens: (token, batch, hidden_size / 2), in the order of the scan.
        """
        inputs, gate = self.in_proj(tokens).chunk(2, dim=-1)
        inputs = F.silu(self._convolve(inputs))
        step, enter, leave = self.x_proj(inputs).split(self.split_sizes, dim=-1)
        return gate, [inputs, F.softplus(self.dt_proj(step)), enter, leave]

    def after_scan(self, scanned: torch.Tensor, inputs: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return self.out_proj(torch.addcmul(scanned, inputs, self.D.to(inputs.dtype)) * F.silu(gate))

    def _convolve(self, inputs: torch.Tensor) -> torch.Tensor:
        """Causal depthwise convolution over tokens, which come first: a sum of shifted products."""
        taps = self.conv1d.weight[:, 0].to(inputs.dtype).unbind(1)
        earlier = F.pad(inputs, (0, 0, 0, 0, len(taps) - 1, 0))
        outputs = cast(torch.Tensor, self.conv1d.bias).to(inputs.dtype)
        for shift, tap in enumerate(taps):
            outputs = torch.addcmul(outputs, earlier[shift : shift + len(inputs)], tap)
        return outputs


class Layer(nn.Module):
    """Bidirectional layer: one Mamba reads the first half of the features, the other one the second half backwards."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        size, hidden = architecture.hidden_size, round(architecture.mlp_ratio * architecture.hidden_size)
        self.norm = nn.LayerNorm(size)
        self.split = nn.Linear(size, size)
        self.forward_mamba = Mamba(architecture)
        self.backward_mamba = Mamba(architecture)
        self.merge = nn.Linear(size, size)
        self.dropout = nn.Dropout(architecture.dropout)
        self.mixing_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size), nn.Dropout(architecture.dropout)
        )
        self.mlp_norm = nn.LayerNorm(size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(token, batch, hidden_size) -> the same shape."""
        halves = self._scan_both(in_parts(lambda part: self.split(self.norm(part)), tokens))
        return in_parts(self._after_scans, tokens, halves)

    def _after_scans(self, tokens: torch.Tensor, halves: torch.Tensor) -> torch.Tensor:
        # In place: no gradient needs what a linear layer or dropout gave.
        tokens = self.mixing_norm(self.dropout(self.merge(halves)).add_(tokens))
        return self.mlp_norm(self.mlp(tokens).add_(tokens))

    def _scan_both(self, tokens: torch.Tensor) -> torch.Tensor:
        onward, back = tokens.chunk(2, dim=-1)
        mambas = (self.forward_mamba, self.backward_mamba)
        gates, arguments = zip(
            *(mamba.before_scan(half) for mamba, half in zip(mambas, (onward, back.flip(0)), strict=True)), strict=True
        )
        inputs, step, enter, leave = (torch.stack(pair, dim=1) for pair in zip(*arguments, strict=True))
        rate = torch.stack([-mamba.A_log.float().exp() for mamba in mambas])
        scanned = selective_scan(inputs, step, rate, enter, leave)
        onward, back = (
            mamba.after_scan(one, values[0], gate)
            for mamba, one, values, gate in zip(mambas, scanned.unbind(1), arguments, gates, strict=True)
        )
        return torch.cat([onward, back.flip(0)], dim=-1)


class WiMamba(ChannelModel):
    """Bidirectional Mamba over the patches of a snapshot."""

    config_class = WiMambaConfig

    def __init__(self, config: WiMambaConfig):
        super().__init__(config)
        architecture: Architecture = config.settings.architecture
        self.tokens = ChannelTokens(architecture.patch_sizes, architecture.hidden_size, architecture.max_seq_len)
        self.layers = nn.ModuleList(Layer(architecture) for _ in range(architecture.depth))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # PyTorch's own start, with biases: layer normalisation turns a class token of equal entries into zero, and
        # without biases a gate of zero would keep it there.
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, ChannelTokens):
            init.constant_(module.class_token, CLASS_START)
        elif isinstance(module, Mamba):
            start_as_mamba_ssm(module)

    def uncounted_flops(self, tokens: int, size: tuple[int, int, int]) -> int:
        """Operations of the scans and convolutions of one snapshot besides products of matrices.

        For each layer, direction, token and channel: 2 conv_kernel of the convolution, 1 of step times input, 2 of D,
        and per state 5: the exponent, its power, the entering value, and a multiplication and addition. Leaving the
        state (C h, 2 per state) is a product of matrices.
        """
        shape: Architecture = self.config.settings.architecture
        channel = 2 * shape.conv_kernel + 3 + 5 * shape.state_size
        return 2 * shape.depth * inner_size(shape) * channel * tokens

    def no_weight_decay(self) -> set[str]:
        """Weights that decay must not touch, as in mamba-ssm: decay of A_log would change how fast states fade."""
        return {name for name, _ in self.named_parameters() if name.endswith((".A_log", ".D"))}

    def encode(self, hidden: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        # A scan wants time first; it needs no positions.
        hidden = hidden.transpose(0, 1).contiguous()
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden.transpose(0, 1)


@torch.no_grad()
def start_as_mamba_ssm(mamba: Mamba) -> None:
    """Initial weights as in mamba-ssm: state s decays at rate s, and steps lie log-uniformly in STEP_RANGE.

    Linear layers and the convolution start as PyTorch starts them.
    """
    inner, states = mamba.A_log.shape
    init.copy_(mamba.A_log, torch.arange(1, states + 1, dtype=torch.float32).log().expand(inner, -1))
    init.ones_(mamba.D)
    bound = mamba.dt_proj.in_features**-0.5
    init.uniform_(mamba.dt_proj.weight, -bound, bound)
    low, high = map(math.log, STEP_RANGE)
    step = (low + (high - low) * torch.rand(inner)).exp().clamp_min(STEP_FLOOR)
    # Inverse of softplus.
    init.copy_(mamba.dt_proj.bias, step + torch.log(-torch.expm1(-step)))


def build(options: Options, delay_fraction: float) -> WiMamba:
    """A fresh network."""
    return WiMamba(WiMambaConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """Masked channel modelling from fresh weights."""
    return channel_model.train(build(options, session.delay_fraction), options, session)


NETWORKS = (WiMamba,)
