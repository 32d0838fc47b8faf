"""WiFo: a masked autoencoder over the space, time and frequency of CSI.

Source: Liu et al., "WiFo: Wireless Foundation Model for Channel Prediction", arXiv:2412.08908. Nothing in the network
depends on the size of its input: one set of weights serves every (time, antenna, subcarrier). Where the patch does not
divide a size, the last patch is padded, which the paper does not do; padding is neither learnt from nor scored.

With `linear_prediction`, which is ours, the answer of the network is mixed with that of linear prediction, for every
value of a patch: what a few slots or subcarriers tell of the channel at hand is not left to attention alone, and what
the network knows of channels from training is not lost. It answers as if there were no other, for two answers that err
alike are no better than one. Tokens that are hidden at random follow nothing, and are the network's alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from wavefoundry.csi.augmentation import random_symmetry
from wavefoundry.csi.given import SEQUENCES, SNAPSHOTS, as_csi
from wavefoundry.csi.linear_prediction import continued
from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.axis_positions import (
    PositionSpace,
    carry_contents,
    pass_contents_on,
    position_encoding,
)
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.mixture import Mixture
from wavefoundry.networks.representations import Representations
from wavefoundry.networks.trace import HiddenStates, Trace, mean_losses
from wavefoundry.networks.wifo.options import Architecture, Options
from wavefoundry.networks.wifo.patches import AXES, from_patches, grid_of, inside, padding_of, to_patches
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train as train_network

STRATEGIES = ("random", "time", "frequency")
# Published widths of the positions along (time, antenna, subcarrier) where they are not the largest even thirds.
POSITION_WIDTHS = {256: (86, 86, 84), 64: (22, 22, 20)}
# Start of training, see start_along_axes.
MASK_PENALTY = 8.0
ENCODER_START = 0.1
BEFORE = (AXES.index("time"), AXES.index("subcarrier"))  # axes along which heads look at what lies before
LAYER_NORM_EPS = 1e-6


class WiFoConfig(NetworkConfig):
    """config.json of a WiFo."""

    model_type = "wifo"
    options_class = Options


@dataclass(frozen=True)
class Puzzle:
    """What the network sees and what it has to find. Patches are complex (batch, token, values of a patch)."""

    strategy: str
    grid: tuple[int, int, int]
    visible: torch.Tensor  # noisy patches, 0 where they are padded
    visible_at: torch.Tensor  # (batch, token), position in the grid in the order time, antenna, subcarrier
    visible_inside: torch.Tensor  # bool, like the patches: false where they are padded
    hidden: torch.Tensor  # clean patches, 0 where they are padded
    hidden_at: torch.Tensor
    hidden_inside: torch.Tensor
    linear: torch.Tensor | None  # what linear prediction says of the hidden patches; None: it is not asked

    @property
    def scale(self) -> torch.Tensor:
        """Root mean square of what is visible of each sample, padding aside: (batch, 1, 1)."""
        return rms_scale(self.visible) / _mean(self.visible_inside).sqrt()

    def error(self, found: torch.Tensor) -> torch.Tensor:
        """Mean square error of hidden patches, found at unit scale, over all values that are no padding."""
        # |.|^2 by parts: the modulus of a complex tensor costs a square root, and its gradient a division.
        error = torch.view_as_real(found - self.hidden / self.scale).square().sum(-1)
        return (error * self.hidden_inside).mean() / self.hidden_inside.float().mean()


class Answer(NamedTuple):
    """Hidden patches, complex (batch, hidden token, values of a patch).

    own: what the network says.
    mixed: that and linear prediction, or the network's own where this is not asked.
    """

    own: torch.Tensor
    mixed: torch.Tensor


class Attention(nn.Module):
    def __init__(self, architecture: Architecture):
        super().__init__()
        self.heads = architecture.heads
        self.qkv = nn.Linear(architecture.hidden_size, 3 * architecture.hidden_size)
        self.out = nn.Linear(architecture.hidden_size, architecture.hidden_size)

    def forward(self, tokens: torch.Tensor, weights: list[torch.Tensor] | None, first: int = 0) -> torch.Tensor:
        """What the tokens from `first` on find among all of them."""
        if first:
            size = tokens.shape[-1]
            query = F.linear(tokens[:, first:], self.qkv.weight[:size], self.qkv.bias[:size])
            query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            both = F.linear(tokens, self.qkv.weight[size:], self.qkv.bias[size:])
            key, value = both.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        else:
            query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if weights is None:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            # Fused attention does not give its weights away.
            weights.append((query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1))
            mixed = weights[-1] @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        size = architecture.hidden_size
        width = round(architecture.mlp_ratio * size)
        self.attention_norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.attention = Attention(architecture)
        self.mlp_norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.Linear(width, size))

    def forward(
        self, tokens: torch.Tensor, weights: list[torch.Tensor] | None, first: int = 0
    ) -> tuple[torch.Tensor, HiddenStates]:
        """Output of the layer and the hidden states of its attention sub-layer, of the tokens from `first` on."""
        mixed = self.attention(self.attention_norm(tokens), weights, first)
        attended = tokens[:, first:] + mixed
        return attended + self.mlp(self.mlp_norm(attended)), HiddenStates(mixed, attended)


class Stack(nn.Module):
    def __init__(self, architecture: Architecture, depth: int):
        super().__init__()
        self.blocks = nn.ModuleList(Layer(architecture) for _ in range(depth))
        self.norm = nn.LayerNorm(architecture.hidden_size, eps=LAYER_NORM_EPS)

    def forward(
        self, tokens: torch.Tensor, weights: list[torch.Tensor] | None, first: int = 0
    ) -> tuple[torch.Tensor, HiddenStates]:
        """Normalised output and the hidden states of the last attention sub-layer, of the tokens from `first` on."""
        hidden = HiddenStates(tokens, tokens)
        for depth, block in enumerate(self.blocks, start=1):
            # What the last layer makes of the tokens before, nobody reads.
            tokens, hidden = block(tokens, weights, first if depth == len(self.blocks) else 0)
        return self.norm(tokens), hidden


class WiFo(PreTrainedModel):
    """The masked autoencoder; nothing in it depends on the size of the CSI."""

    config_class = WiFoConfig
    main_input_name = "csi"

    def __init__(self, config: WiFoConfig):
        super().__init__(config)
        self.options: Options = config.settings
        self.architecture = architecture = self.options.architecture
        size, patch = architecture.hidden_size, tuple(architecture.patch_size)
        self.embedding = nn.Conv3d(2, size, patch, stride=patch)
        self.encoder = Stack(architecture, architecture.encoder_depth)
        self.bridge = nn.Linear(size, size)
        self.mask_token = nn.Parameter(torch.zeros(size))
        self.decoder = Stack(architecture, architecture.decoder_depth)
        self.head = nn.Linear(size, 2 * math.prod(patch))
        values, mixing = math.prod(patch), architecture.linear_prediction
        # It is shown a hidden token, and what both say of its patch.
        self.mixture = mixing and Mixture(mixing, size + 4 * values, values)
        self.post_init()
        # from_pretrained builds on the meta device and fills in what it loads.
        if self.device.type != "meta":
            start_along_axes(self)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Conv3d)):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif module is self:
            init.normal_(self.mask_token, std=0.02)

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step: the mean over the masking strategies, as published.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of the masked positions, the noise and the rest of `draw`; on the CPU.

        Returns:
            "random_loss", "time_loss" and "frequency_loss", as far as the CSI has what they mask: the mean square error
            of the masked complex values relative to the visible power of their sample; and "loss", the mean of these.
            With linear prediction, "time_own_loss" and "frequency_own_loss", those of the network's own answer, are a
            part of "loss", too.

        Raises:
            InputError: nothing that could be masked.
        """
        return mean_losses([self.solve(puzzle) for puzzle in self.draw_all(csi, generator)])

    def solve(self, puzzle: Puzzle, trace: Trace | None = None) -> dict[str, torch.Tensor]:
        """Loss on one puzzle, as `forward` returns it; inner values go into `trace`."""
        at, grid = puzzle.visible_at, puzzle.grid
        encoder_at = self._encoder_at(puzzle.strategy, at, grid)
        found = self.reconstruct(
            puzzle.visible / puzzle.scale,
            puzzle.visible_at,
            puzzle.hidden_at,
            puzzle.grid,
            trace,
            encoder_at=encoder_at,
            linear=None if puzzle.linear is None else puzzle.linear / puzzle.scale,
        )
        loss = puzzle.error(found.mixed)
        losses = {f"{puzzle.strategy}_loss": loss.detach()}
        if puzzle.linear is not None and self.architecture.linear_prediction is not None:
            own = puzzle.error(found.own)
            losses[f"{puzzle.strategy}_own_loss"] = own.detach()
            loss = loss + self.architecture.linear_prediction.own_weight * own
        return {"loss": loss} | losses

    def draw_all(self, csi: torch.Tensor, generator: torch.Generator) -> list[Puzzle]:
        """A puzzle of every masking strategy that fits the CSI, each with symmetries and noise of its own."""
        return [self.draw(csi, generator, strategy) for strategy in self._possible(csi.shape)]

    def draw(self, csi: torch.Tensor, generator: torch.Generator, strategy: str | None = None) -> Puzzle:
        """Draw a masking strategy for the batch where none is given, masked positions, and noise on the visible part.

        In training mode the CSI is varied first by its symmetries. Where it is padded, the side of the padding is
        drawn, too: `predict` pads in front of what is known and behind what it finds.
        """
        if self.training:
            csi = random_symmetry(csi, generator)
        grid = self._grid(csi.shape[1:])
        if strategy is None:
            possible = self._possible(csi.shape)
            strategy = possible[torch.randint(len(possible), (), generator=generator)]
        ratio = getattr(self.options.masking, strategy)
        if strategy == "random":
            visible_at, hidden_at = _random_positions(csi.shape[0], grid, ratio, generator)
        else:
            size = grid[0] if strategy == "time" else grid[2]
            seen = size - _hidden_count(size, ratio)
            known = (seen, grid[2]) if strategy == "time" else (grid[0], seen)
            visible_at, hidden_at = (at.expand(csi.shape[0], -1) for at in _leading_positions(grid, known))
        patch = self.architecture.patch_size
        before = [
            int(torch.randint(missing + 1, (), generator=generator)) if missing else 0
            for missing in padding_of(csi.shape[1:], patch)
        ]
        within = inside(csi.shape[1:], patch, before)
        visible_inside, hidden_inside = within[visible_at], within[hidden_at]
        low, high = self.options.snr_db
        snr_db = low + (high - low) * torch.rand(csi.shape[0], generator=generator)
        # The noise is added relative to the mean power of whole patches, of which padding is a part.
        snr_db = snr_db + 10 * _mean(visible_inside).flatten().log10()
        visible_at, hidden_at = visible_at.to(csi.device), hidden_at.to(csi.device)
        visible_inside, hidden_inside = visible_inside.to(csi.device), hidden_inside.to(csi.device)
        patches = to_patches(csi, patch, before)
        noisy = add_noise(_take(patches, visible_at), snr_db, generator)
        visible, hidden = torch.where(visible_inside, noisy, 0), _take(patches, hidden_at)
        linear = None
        if strategy != "random":
            whole = from_patches(visible, (known[0], grid[1], known[1]), patch)
            crop = tuple(slice(front, front + size) for front, size in zip(before, csi.shape[1:], strict=True))
            steps = (grid[0] - known[0]) * patch[0], (grid[2] - known[1]) * patch[2]
            linear = self._linear(whole[(slice(None), *crop)], *steps, before, hidden_at)
        return Puzzle(strategy, grid, visible, visible_at, visible_inside, hidden, hidden_at, hidden_inside, linear)

    def reconstruct(
        self,
        visible: torch.Tensor,
        visible_at: torch.Tensor,
        hidden_at: torch.Tensor,
        grid: tuple[int, int, int],
        trace: Trace | None = None,
        *,
        encoder_at: torch.Tensor | None = None,
        linear: torch.Tensor | None = None,
    ) -> Answer:
        """Hidden patches from visible ones.

        Args:
            visible: complex (batch, visible token, values of a patch), of unit power, 0 where patches are padded.
            visible_at, hidden_at: (batch, token), positions in the grid.
            grid: patches along (time, antenna, subcarrier).
            trace: if given, filled with inner values; attention is then not fused.
            encoder_at: (batch, visible token), positions that the encoder sees; the visible tokens' own if not given.
            linear: complex (batch, hidden token, values of a patch), what linear prediction says of the hidden patches,
                at the scale of `visible`; None: it is not asked.
        """
        positions = position_encoding(grid, position_widths(self.architecture.hidden_size)).to(self.embedding.weight)
        embedded = self._embed(visible)
        if trace is not None:
            trace.encoder_attention, trace.decoder_attention = [], []
        encoder_weights = None if trace is None else trace.encoder_attention
        encoder_at = visible_at if encoder_at is None else encoder_at
        encoded, encoder_hidden = self.encoder(embedded + positions[encoder_at], encoder_weights)

        # The decoder sees tokens by their positions alone, so their order is free: visible ones first.
        masked = self.mask_token.expand(*hidden_at.shape, -1)
        tokens = torch.cat([self.bridge(encoded), masked], dim=1)
        decoder_weights = None if trace is None else trace.decoder_attention
        decoded, decoder_hidden = self.decoder(
            tokens + positions[torch.cat([visible_at, hidden_at], dim=1)],
            decoder_weights,
            visible_at.shape[1] if trace is None else 0,
        )
        if trace is not None:
            trace.embedding = embedded
            trace.encoder_hidden, trace.decoder_hidden = encoder_hidden, decoder_hidden
        decoded = decoded[:, -hidden_at.shape[1] :]
        own = mixed = torch.complex(*self.head(decoded).float().chunk(2, dim=-1))
        if linear is not None and self.mixture is not None:
            share = self.mixture(torch.cat([decoded, _features(own), _features(linear)], dim=-1))
            mixed = linear + share * (own - linear)
        if trace is not None:
            trace.output = mixed
        return Answer(own, mixed)

    def embed(self, csi: torch.Tensor, patch_size: int | None = None) -> Representations:
        """What the encoder makes of single slots; nothing is hidden.

        The network knows sequences: a snapshot is a channel at rest over the slots of one patch.

        Args:
            csi: complex (batch, antenna, subcarrier), at any scale.
            patch_size: None; the network has one patch.

        Returns:
            with tokens in the order antenna, subcarrier, and no class token, which the network does not have.
        """
        csi = as_csi(csi, SNAPSHOTS)
        return self.embed_sequence(csi[:, None].expand(-1, self.architecture.patch_size[0], -1, -1))

    def embed_sequence(self, csi: torch.Tensor) -> Representations:
        """What the encoder makes of complex CSI (batch, time, antenna, subcarrier) at any scale; nothing is hidden.

        Returns:
            with tokens in the order time, antenna, subcarrier.
        """
        csi = as_csi(csi, SEQUENCES)
        positions = position_encoding(self._grid(csi.shape[1:]), position_widths(self.architecture.hidden_size))
        scale = rms_scale(csi)
        patches = to_patches(csi / scale, self.architecture.patch_size)
        encoded, _ = self.encoder(self._embed(patches) + positions.to(self.embedding.weight), None)
        return Representations(None, encoded, encoded.mean(dim=1), scale.flatten())

    def cut(self, csi: torch.Tensor, patch_size: int | None = None) -> torch.Tensor:
        """Patches of snapshots (batch, antenna, subcarrier), zeros where they are padded: real (batch, token, value),
        real parts first."""
        patches = to_patches(csi[:, None], (1, *self.architecture.patch_size[1:]))
        return _features(patches)

    def join(self, tokens: torch.Tensor, shape: tuple[int, int], patch_size: int | None = None) -> torch.Tensor:
        """Inverse of `cut`; what stands for padding is left out."""
        patch = (1, *self.architecture.patch_size[1:])
        whole = from_patches(torch.complex(*tokens.chunk(2, dim=-1)), grid_of((1, *shape), patch), patch)
        return whole[:, 0, : shape[0], : shape[1]]

    @torch.inference_mode()
    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """Continue CSI in time, in frequency or in both; see `wavefoundry.networks.capabilities.Predictor`.

        What is known is padded in front, so that what is asked for begins with a patch, and that is rounded up to whole
        patches; along the antennas the padding lies behind.

        Raises:
            InputError: as `checked` says, or a size of `known` that is 0.
        """
        known = known.to(self.device)
        seen = self._grid(known.shape[1:])
        patch = self.architecture.patch_size
        grid = (seen[0] - (-slots // patch[0]), seen[1], seen[2] - (-subcarriers // patch[2]))
        visible_at, hidden_at = (
            at.to(self.device).expand(known.shape[0], -1) for at in _leading_positions(grid, (seen[0], seen[2]))
        )
        missing = padding_of(known.shape[1:], patch)
        visible = to_patches(known, patch, before=(missing[0], 0, missing[2]))
        scale = rms_scale(visible) / math.sqrt(known[0].numel() / visible[0].numel())
        encoder_at = self._encoder_at(asked_strategy(slots, subcarriers), visible_at, grid)
        steps = (grid[0] - seen[0]) * patch[0], (grid[2] - seen[2]) * patch[2]
        linear = self._linear(known, *steps, (missing[0], 0, missing[2]), hidden_at)
        linear = None if linear is None else linear / scale
        answer = self.reconstruct(visible / scale, visible_at, hidden_at, grid, encoder_at=encoder_at, linear=linear)
        found = scale * answer.mixed
        patches = torch.zeros(known.shape[0], math.prod(grid), found.shape[-1], dtype=found.dtype, device=found.device)
        box = from_patches(patches.scatter(1, hidden_at[:, :, None].expand_as(found), found), grid, patch)
        box = box[:, missing[0] :, : known.shape[2], missing[2] :]
        box = box[:, known.shape[1] :][:, :slots] if slots else box
        return box[..., known.shape[3] :][..., :subcarriers] if subcarriers else box

    def _linear(
        self, known: torch.Tensor, slots: int, subcarriers: int, before: Sequence[int], hidden_at: torch.Tensor
    ) -> torch.Tensor | None:
        """What linear prediction says of hidden patches; None: it is not asked.

        Args:
            known: complex (batch, time, antenna, subcarrier), noisy, without padding.
            slots, subcarriers: after the known ones, whole patches of them.
            before: entries of padding in front of what is known along (time, antenna, subcarrier).
            hidden_at: (batch, hidden token), positions in the grid of what is known and what follows it.

        Returns:
            complex (batch, hidden token, values of a patch).
        """
        mixing = self.architecture.linear_prediction
        if mixing is None:
            return None
        whole = continued(known, slots, subcarriers, mixing.orders.model_dump())
        return _take(to_patches(whole, self.architecture.patch_size, before), hidden_at)

    def _embed(self, patches: torch.Tensor) -> torch.Tensor:
        """complex (batch, token, values of a patch) -> (batch, token, hidden_size), without positions."""
        # A convolution whose stride is its kernel is a product with each patch, here taken of visible ones only.
        values = _features(patches).to(self.embedding.weight.dtype)
        return F.linear(values, self.embedding.weight.flatten(1), self.embedding.bias)

    def _possible(self, shape: torch.Size) -> list[str]:
        """Masking strategies for CSI of the shape (batch, time, antenna, subcarrier)."""
        grid = self._grid(shape[1:])
        possible = [name for name in STRATEGIES if _can_mask(name, grid)]
        if not possible:
            raise InputError(f"csi of shape {tuple(shape)} is a single patch: nothing can be masked")
        return possible

    def _encoder_at(self, strategy: str, visible_at: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """Positions (batch, visible token) that the encoder sees, by the architecture's `position_rule`.

        The released code looks a visible token up by the index of its patch along the masked axis alone, as if that
        counted tokens: all tokens of a time patch, or of a subcarrier patch, share one position. Where neither axis is
        masked as a whole, and in the decoder, both rules give each token its own.
        """
        if self.architecture.position_rule == "published" and strategy == "time":
            return visible_at // (grid[1] * grid[2])
        if self.architecture.position_rule == "published" and strategy == "frequency":
            return visible_at % grid[2]
        return visible_at

    def _grid(self, shape: torch.Size) -> tuple[int, int, int]:
        """Patches along (time, antenna, subcarrier)."""
        return grid_of(shape, self.architecture.patch_size)


@torch.no_grad()
def start_along_axes(model: WiFo) -> None:
    """Initial weights from which a small training gets somewhere: see `wavefoundry.networks.axis_positions`.

    Choice, where the paper is silent. Each head compares the positions along all axes but one in turn (time, antenna,
    subcarrier, none) and passes on what the visible tokens found there carry; those of every second layer of the
    decoder look at the patches before, in time or in frequency, from where a prediction comes. Feed-forward layers
    start silent.
    """
    size, heads = model.architecture.hidden_size, model.architecture.heads
    width, space = size // heads, PositionSpace(position_widths(size))
    # The mask token is known by a direction of its own.
    mark, contents = space.contents[0] * math.sqrt(size) / 2, space.contents[1:]
    model.mask_token.copy_(mark)
    model.bridge.weight.copy_(torch.eye(size))
    carry_contents(contents, model.embedding.weight.view(size, -1), model.head.weight)
    if model.mixture is not None:
        model.mixture.start()
    for stack, share in ((model.encoder, ENCODER_START), (model.decoder, 1.0)):
        for depth, block in enumerate(cast(Iterable[Layer], stack.blocks)):
            query, key, value = block.attention.qkv.weight.view(3, heads, width, size)
            for head in range(heads):
                if stack is model.decoder and depth % 2:
                    axis, steps = BEFORE[head % len(BEFORE)], 1 + head // len(BEFORE)
                    compared = space.beside(axis, -steps, width)
                else:
                    axes = [axis for axis in range(len(AXES)) if axis != head % (len(AXES) + 1)]
                    compared = space.along(axes, width)
                # The last row of the decoder's heads is the mask's.
                compared.start(query[head, : width - 1], key[head, : width - 1])
            if stack is model.decoder:
                # Masked tokens have nothing to tell yet.
                query[:, -1] = 0
                block.attention.qkv.bias.view(3, heads, width)[0, :, -1] = math.sqrt(width)
                key[:, -1] = -MASK_PENALTY * mark / mark.square().sum()
            pass_contents_on(contents, value.view(size, size), block.attention.out.weight, share)
            init.zeros_(cast(nn.Linear, block.mlp[-1]).weight)


def position_widths(width: int) -> tuple[int, int, int]:
    """Features of the position along time, antenna, subcarrier; their sum is `width`, which must be even."""
    third = 2 * (width // 6)
    return POSITION_WIDTHS.get(width, (third, third, width - 2 * third))


def asked_strategy(slots: int, subcarriers: int) -> str:
    """The masking strategy that a question is an instance of; the joint one, which training never poses, is none of
    whole axes."""
    return "random" if slots and subcarriers else "time" if slots else "frequency"


def _can_mask(strategy: str, grid: tuple[int, int, int]) -> bool:
    size = {"random": math.prod(grid), "time": grid[0], "frequency": grid[2]}[strategy]
    return size > 1


def _hidden_count(size: int, ratio: float) -> int:
    """As published, the visible ones are rounded down; at least one is visible, and one hidden."""
    # Without the errors of binary fractions: 0.9 of 10 is 9.
    hidden = math.ceil(round(size * ratio, 9))
    return min(max(hidden, 1), size - 1)


def _random_positions(
    batch: int, grid: tuple[int, int, int], ratio: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Visible and hidden positions (batch, token), drawn for each sample."""
    tokens = math.prod(grid)
    order = torch.rand(batch, tokens, generator=generator).argsort(dim=1)
    hidden = _hidden_count(tokens, ratio)
    return order[:, hidden:], order[:, :hidden]


def _leading_positions(grid: tuple[int, int, int], known: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (1, token) of the first `known` patches (time, subcarrier), and of all others, both rising."""
    leads = torch.zeros(grid, dtype=torch.bool)
    leads[: known[0], :, : known[1]] = True
    positions = torch.arange(math.prod(grid)).reshape(grid)
    return positions[leads][None], positions[~leads][None]


def _mean(mask: torch.Tensor) -> torch.Tensor:
    """Share of a mask (batch, token, values of a patch) that is true, for each sample: (batch, 1, 1)."""
    return mask.float().mean((1, 2), keepdim=True)


def _features(patches: torch.Tensor) -> torch.Tensor:
    """complex (..., values of a patch) -> real (..., values), real parts first."""
    return torch.cat([patches.real, patches.imag], dim=-1)


def _take(patches: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return patches.take_along_dim(positions[:, :, None], dim=1)


def build(options: Options, delay_fraction: float) -> WiFo:
    """A fresh network."""
    return WiFo(WiFoConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """Masked reconstruction, from fresh weights or from those of the registry's champion."""
    model = build(options, session.delay_fraction)
    if options.warm_start:
        session.take_champion(model)
    model, history = train_network(
        model,
        session.dataset,
        config=options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    return Trained(model, history)


NETWORKS = (WiFo,)
