"""LWM-Temporal: a transformer with sparse spatio-temporal attention on angle-delay-time CSI.

Source: "LWM-Temporal: Sparse Spatio-Temporal Attention for Wireless Channel Representation Learning", model card and
arXiv:2603.10024. `LWMTemporal` is the backbone with its reconstruction head, for
masked channel modelling; `LWMTemporalPredictor` is the same network fine-tuned for channel prediction. The published
network differs: neither a term for energy nor a bias in queries, keys and values. Its weights would give other outputs
here.
"""

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import PreTrainedModel
from transformers import initialization as init

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.csi.augmentation import random_amplitude, random_noise, random_phase, random_symmetry
from wavefoundry.csi.given import SEQUENCES, SNAPSHOTS, as_csi
from wavefoundry.csi.kept_delays import kept_delay_bins
from wavefoundry.csi.linear_prediction import continued
from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.curriculum import MaskingCurriculum
from wavefoundry.networks.lwm_temporal.masks import draw_mask
from wavefoundry.networks.lwm_temporal.options import Architecture, Options
from wavefoundry.networks.lwm_temporal.reference import (
    ENERGY_FLOOR,
    LEAST_ENERGY,
    OF_EVERY_BIN,
    reference,
    strength,
    to_complex,
    to_features,
)
from wavefoundry.networks.lwm_temporal.routing import Routing
from wavefoundry.networks.lwm_temporal.ssta import routed_flops, sparse_attention
from wavefoundry.networks.representations import Representations
from wavefoundry.training.few_shot import FewShot
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train as train_network

LEARNED_POSITIONS = 512  # per axis, of learned positions


class LWMTemporalConfig(NetworkConfig):
    """config.json of a pretrained LWM-Temporal."""

    model_type = "lwm_temporal"
    options_class = Options


class LWMTemporalPredictorConfig(LWMTemporalConfig):
    """config.json of an LWM-Temporal that predicts."""

    model_type = "lwm_temporal_predictor"


def windows(architecture: Architecture, temporal_offsets: list[int]) -> Windows:
    """Which tokens a query may see, in its own frame and in those at these offsets."""
    return Windows(
        architecture.same_frame_window,
        tuple(temporal_offsets),
        architecture.temporal_spatial_window,
        architecture.temporal_drift_h,
        architecture.temporal_drift_w,
        architecture.corridor,
    )


def routing(architecture: Architecture) -> Routing | None:
    """How a query chooses among the tokens that it may see; None: it attends to all of them."""
    if not architecture.routing_topk_enable:
        return None
    return Routing(
        architecture.routing_topk_fraction,
        architecture.routing_topk_min,
        architecture.routing_topk_max,
        architecture.topk_per_head,
    )


class Patches(nn.Module):
    """Angle-delay maps to tokens of real features and back."""

    def __init__(self, patch_size: list[int]):
        super().__init__()
        self.patch_size = tuple(patch_size)

    def grid(self, shape: torch.Size) -> tuple[int, int, int]:
        """(time, angle, delay) tokens of maps of `shape` (batch, time, angle, delay)."""
        for axis, size, step in zip(("angle", "delay"), shape[-2:], self.patch_size, strict=True):
            if size % step:
                raise InputError(f"patch_size {list(self.patch_size)}: {step} does not divide the {size} {axis} bins")
        return shape[1], shape[2] // self.patch_size[0], shape[3] // self.patch_size[1]

    def split(self, maps: torch.Tensor) -> torch.Tensor:
        """complex (batch, time, angle, delay) -> real (batch, token, feature), real parts first."""
        _, rows, columns = self.grid(maps.shape)
        patches = maps.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).permute(0, 1, 2, 4, 3, 5)
        return to_features(patches.flatten(4).flatten(1, 3))

    def join(self, tokens: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """Inverse of `split`."""
        patches = to_complex(tokens.float()).unflatten(1, grid).unflatten(-1, self.patch_size)
        return patches.permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)


def to_phase_mode(tokens: torch.Tensor, mode: str) -> torch.Tensor:
    """Tokens (..., real then imaginary parts) as the network reads them: magnitudes, then phases [rad], or as is."""
    if mode == "real_imaginary":
        return tokens
    # Of a zero, whose sign tells nothing, the phase is 0.
    real, imaginary = (tokens + 0.0).chunk(2, dim=-1)
    return torch.cat([torch.hypot(real, imaginary), torch.atan2(imaginary, real)], dim=-1)


def from_phase_mode(features: torch.Tensor, mode: str) -> torch.Tensor:
    """Inverse of `to_phase_mode`; magnitudes may be negative, as those of an untrained head are."""
    if mode == "real_imaginary":
        return features
    magnitude, phase = features.chunk(2, dim=-1)
    return torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=-1)


class LearnedPositions(nn.Module):
    """One vector per position of each axis, added up."""

    def __init__(self, width: int):
        super().__init__()
        self.axes = nn.Parameter(torch.empty(3, LEARNED_POSITIONS, width))

    def forward(self, grid: tuple[int, int, int]) -> torch.Tensor:
        """(token, width).

        Raises:
            InputError: an axis is longer than the positions that are learnt.
        """
        if max(grid) > LEARNED_POSITIONS:
            raise InputError(f"grid {grid} of tokens, allowed with learned positions: {LEARNED_POSITIONS} per axis")
        time, angle, delay = (axis[:size] for axis, size in zip(self.axes, grid, strict=True))
        return (time[:, None, None] + angle[:, None] + delay).flatten(0, 2)


def rotary_angles(grid: tuple[int, int, int], pairs: int, device: torch.device) -> torch.Tensor:
    """Rotation of each token and feature pair, (token, pair): the pairs take turns between time, angle and delay.

    Angle frequencies are whole turns around the ring of angle bins, so that the position wraps as the angle does.
    """
    axes = torch.arange(pairs, device=device) % 3
    order = torch.arange(pairs, device=device) // 3
    geometric = 100.0 ** (-order / math.ceil(pairs / 3))
    ring = 2 * math.pi * (order + 1) / grid[1]
    frequency = torch.where(axes == 1, ring, geometric)
    meshes = torch.meshgrid(*(torch.arange(size, device=device) for size in grid), indexing="ij")
    positions = torch.stack([mesh.flatten() for mesh in meshes], dim=-1)
    return positions[:, axes] * frequency


def angles_of_heads(grid: tuple[int, int, int], architecture: Architecture, device: torch.device) -> torch.Tensor:
    """Rotation of each token and feature pair of all heads, (token, embed_dim / 2).

    The same for every head: with the frequencies shared out among heads, few of them could tell a place. Heads of fewer
    pairs than there are axes share them out all the same.
    """
    pairs, heads = architecture.embed_dim // 2, architecture.num_heads
    alike = heads if pairs >= len(grid) * heads else 1
    return rotary_angles(grid, pairs // alike, device).repeat(1, alike)


def rotate(features: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate consecutive feature pairs: features (batch, token, width), angles (token, width / 2)."""
    even, odd = features.unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = angles.cos().to(features.dtype), angles.sin().to(features.dtype)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Multi-head SSTA with a learnt gain of the key's log energy for each head, and rotary positions if given."""

    def __init__(self, architecture: Architecture, temporal_offsets: list[int]):
        super().__init__()
        self.heads = architecture.num_heads
        self.windows = windows(architecture, temporal_offsets)
        self.routing = routing(architecture)
        self.qkv = nn.Linear(architecture.embed_dim, 3 * architecture.embed_dim)
        self.energy_gain = nn.Parameter(torch.full((architecture.num_heads,), 0.1))
        self.out = nn.Linear(architecture.embed_dim, architecture.embed_dim)

    def forward(self, tokens, log_energy, angles, grid):
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        bias = self.energy_gain[:, None] * log_energy[:, None, :]
        mixed = sparse_attention(query, key, value, bias.to(query.dtype), grid, self.windows, self.routing)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class Layer(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, architecture: Architecture, temporal_offsets: list[int]):
        super().__init__()
        size = architecture.embed_dim
        hidden = round(size * architecture.mlp_ratio)
        self.attention_norm = nn.LayerNorm(size)
        self.attention = Attention(architecture, temporal_offsets)
        self.mlp_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))

    def forward(self, tokens, log_energy, angles, grid):
        tokens = tokens + self.attention(self.attention_norm(tokens), log_energy, angles, grid)
        return tokens + self.mlp(self.mlp_norm(tokens))


class LWMTemporalNetwork(PreTrainedModel):
    """The network itself: tokens in, embeddings and reconstructed tokens out."""

    config_class = LWMTemporalConfig
    base_model_prefix = ""

    def __init__(self, config: LWMTemporalConfig):
        super().__init__(config)
        self.options: Options = config.settings
        self.architecture = architecture = self.options.architecture
        size, bins = architecture.embed_dim, math.prod(architecture.patch_size)
        features, strengths = 2 * bins, bins if architecture.reference in OF_EVERY_BIN else 1
        self.patches = Patches(architecture.patch_size)
        self.embedding = nn.Linear(features + strengths, size)
        self.blocks = nn.ModuleList(Layer(architecture, self.temporal_offsets) for _ in range(architecture.depth))
        self.norm = nn.LayerNorm(size)
        self.reconstruct = nn.Linear(size, features)
        self.class_token = nn.Parameter(torch.empty(size)) if architecture.class_token else None
        self.positions = LearnedPositions(size) if architecture.positions == "learned" else None
        self.post_init()

    @property
    def temporal_offsets(self) -> list[int]:
        """Frames, relative to a query's, that it sees besides its own."""
        return self.architecture.temporal_offsets

    def kept_bins(self, subcarriers: int) -> int:
        """Delay bins of the maps that the network reads."""
        return kept_delay_bins(subcarriers, self.config.delay_fraction)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, LearnedPositions):
            init.normal_(module.axes, std=0.02)
        elif module is self and self.class_token is not None:
            init.normal_(self.class_token, std=0.02)

    def uncounted_flops(self, tokens: int, size: tuple[int, int, int]) -> int:
        """Operations of attention with routing, whose loops are no operators of torch."""
        grid = self.patches.grid(torch.Size((1, *size[:2], self.kept_bins(size[2]))))
        front, found = tokens - math.prod(grid), 0
        for block in cast(Iterable[Layer], self.blocks):
            attention = block.attention
            if attention.routing is not None:
                width = self.architecture.embed_dim // attention.heads
                found += attention.heads * routed_flops(grid, attention.windows, attention.routing, front, width)
        return found

    def embed(self, csi: torch.Tensor, patch_size: int | None = None) -> Representations:
        """Representations of single slots, nothing hidden: each is a sequence of one slot.

        Args:
            csi: complex (batch, antenna, subcarrier) at any scale, of a uniform linear array.
            patch_size: None; the network has one patch.

        Raises:
            InputError: as `embed_sequence`.
        """
        return self.embed_sequence(as_csi(csi, SNAPSHOTS)[:, None])

    def cut(self, csi: torch.Tensor, patch_size: int | None = None) -> torch.Tensor:
        """Patches of the angle-delay maps of snapshots: complex (batch, antenna, subcarrier) -> (batch, token, value).

        Delays beyond those that the network keeps are lost.
        """
        return self.patches.split(to_angle_delay(csi[:, None], (1, 1, csi.shape[1]), self.kept_bins(csi.shape[2])))

    def join(self, tokens: torch.Tensor, shape: tuple[int, int], patch_size: int | None = None) -> torch.Tensor:
        """Inverse of `cut` for the delays that the network keeps."""
        grid = self.patches.grid(torch.Size((len(tokens), 1, shape[0], self.kept_bins(shape[1]))))
        return to_csi(self.patches.join(tokens, grid), (1, 1, shape[0]), shape[1])[:, 0]

    def embed_sequence(self, csi: torch.Tensor, array_shape: tuple[int, int, int] | None = None) -> Representations:
        """Representations of CSI, nothing hidden.

        Args:
            csi: complex (batch, time, antenna, subcarrier) at any scale.
            array_shape: (polarisations, rows, columns) of the array; a uniform linear one if not given.

        Returns:
            with tokens in the order time, angle, delay; class_token is None where the network has none.

        Raises:
            InputError: the array does not fit, patches do not divide the grid, there are more tokens than max_seq_len,
                or windows are larger than the grid.
        """
        csi = as_csi(csi, SEQUENCES)
        scale = rms_scale(csi)
        maps = to_angle_delay(csi / scale, array_shape or (1, 1, csi.shape[2]), self.kept_bins(csi.shape[-1]))
        grid, tokens = self.patches.grid(maps.shape), self.patches.split(maps)
        first, hidden, _ = self._encode(tokens, torch.zeros(tokens.shape[:2], dtype=torch.bool), grid)
        return Representations(first, hidden, hidden.mean(dim=1), scale.flatten())

    def embeddings(self, tokens: torch.Tensor, mask: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """Embeddings (batch, token, embed_dim) of tokens (batch, token, feature); where mask is True they count as 0.

        Raises:
            InputError: more tokens than max_seq_len, or windows larger than the grid.
        """
        return self._encode(tokens, mask, grid)[1]

    def reconstruction(self, tokens: torch.Tensor, mask: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """Reconstructed tokens (batch, token, feature)."""
        return self._reconstruct(tokens, mask, grid)[0]

    def _reconstruct(self, tokens, mask, grid, told=None):
        """Reconstructed tokens, and the complex factors of their bins."""
        _, hidden, factor = self._encode(tokens, mask, grid, told)
        made = from_phase_mode(self.reconstruct(hidden).to(tokens.dtype), self.architecture.phase_mode)
        return to_features(to_complex(made) * factor), factor

    def _encode(self, tokens, mask, grid, told=None):
        """Embeddings of the class token (batch, embed_dim), or None, and of the others (batch, token, embed_dim), and
        the complex factors (batch, token, bin) by which the bins were divided.

        With `told` (embed_dim,) masked tokens do not count as 0: they say what is known of them by other means, and
        `told` marks their embeddings. The factors are those of the other tokens all the same.
        """
        self._require_fit(grid)
        mask = mask.to(tokens.device)
        seen = tokens.masked_fill(mask.unsqueeze(-1), 0.0)
        mean_energy = seen.square().mean(dim=-1).sum(dim=1, keepdim=True)
        mean_energy = mean_energy / (~mask).sum(dim=1, keepdim=True).clamp_min(1)
        mean_energy = mean_energy.clamp_min(LEAST_ENERGY)
        mode = self.architecture.reference
        factor = reference(seen, mask, mean_energy, grid[0], mode)
        tokens = seen if told is None else tokens
        log_energy = (tokens.square().mean(dim=-1) / mean_energy + ENERGY_FLOOR).log()
        read = to_phase_mode(to_features(to_complex(tokens) / factor), self.architecture.phase_mode)
        features = torch.cat([read, strength(factor, mean_energy, mode)], dim=-1)
        hidden = self.embedding(features.to(self.embedding.weight.dtype))
        if told is not None:
            hidden = hidden + mask.unsqueeze(-1) * told
        angles = None
        if self.positions is None:
            angles = angles_of_heads(grid, self.architecture, tokens.device)
        else:
            hidden = hidden + self.positions(grid)
        if self.class_token is not None:
            # It stands nowhere and is neither strong nor weak: not rotated, log energy 0.
            hidden = torch.cat([self.class_token.to(hidden.dtype).expand(len(hidden), 1, -1), hidden], dim=1)
            log_energy = pad(log_energy, (1, 0))
            angles = None if angles is None else pad(angles, (0, 0, 1, 0))
        for block in self.blocks:
            hidden = block(hidden, log_energy, angles, grid)
        hidden = self.norm(hidden)
        if self.class_token is None:
            return None, hidden, factor
        return hidden[:, 0], hidden[:, 1:], factor

    def _require_fit(self, grid: tuple[int, int, int]) -> None:
        tokens, most = math.prod(grid), self.architecture.max_seq_len
        if tokens > most:
            raise InputError(f"{tokens} tokens, allowed: max_seq_len {most}")
        _check_windows(self.architecture, grid)


def _check_windows(architecture: Architecture, grid: tuple[int, int, int]) -> None:
    """A window may be longer than one axis, but not than both: nothing of the grid could lie out there."""
    largest = max(grid[1:])
    for name in ("same_frame_window", "temporal_spatial_window"):
        window = getattr(architecture, name)
        if window > largest:
            raise InputError(
                f"{name} is {window}, larger than a grid of {grid[1]} x {grid[2]} (angle, delay) tokens; allowed: "
                f"0 ... {largest}"
            )


def masked_nmse(predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over samples of sum |x_hat - x|^2 / sum |x|^2 over the masked tokens; tokens (batch, token, feature)."""
    hidden = mask.unsqueeze(-1)
    error = ((predicted - target).square() * hidden).sum(dim=(1, 2))
    return (error / (target.square() * hidden).sum(dim=(1, 2)).clamp_min(1e-6)).mean()


class LWMTemporal(LWMTemporalNetwork):
    """Masked channel modelling: reconstruct hidden angle-delay tokens."""

    def __init__(self, config: LWMTemporalConfig):
        super().__init__(config)
        # Share of hidden tokens, and how they are chosen: a curriculum changes both from epoch to epoch.
        self.mask_ratio = 0.6
        self.mask_strategies: Sequence[str] = list(self.options.masking.strategies)

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one batch.

        Args:
            csi: complex (batch, time, angle, delay), unit RMS.
            generator: draws strategy and mask of each sample, and its augmentation.

        Returns:
            loss: NMSE on the hidden tokens.
        """
        grid = self.patches.grid(csi.shape)
        strategies = self.mask_strategies
        drawn = torch.randint(len(strategies), (len(csi),), generator=generator).tolist()
        masks = [draw_mask(strategies[index], grid, self.mask_ratio, generator).flatten() for index in drawn]
        mask = torch.stack(masks).to(csi.device)
        clean, noisy = self._augment(csi, generator)
        tokens = self.patches.split(clean)
        return {"loss": masked_nmse(self.reconstruction(self.patches.split(noisy), mask, grid), tokens, mask)}

    def _augment(self, maps: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """What is to be reconstructed, and what is seen of it."""
        options = self.options.augmentation
        if options is None or not self.training:
            return maps, maps
        maps = random_phase(maps, options.phase_probability, generator)
        maps = random_amplitude(maps, options.amplitude_probability, options.amplitude_db, generator)
        return maps, random_noise(maps, options.noise_probability, options.snr_db, generator)


class LWMTemporalPredictor(LWMTemporalNetwork):
    """Channel prediction: future frames are hidden tokens; a missing upper band is a blur along delay to be undone.

    The head gives the change from the last known frame (from the blurred map), which turns on by the Doppler shift that
    the reference has found, if it looks for one: so an untrained predictor holds the channel, and every step of the
    fine-tuning goes beyond that. Without fine-tuning (prediction.inference_only) the hidden frames are filled in as in
    pretraining, and a blurred map, which pretraining knows nothing of, stays as it is.

    With `prediction.linear_start`, which is ours, linear prediction fills in the hidden frames. The network reads what
    it says, and the head gives the change from it. Delays that the network does not read stay as linear prediction has
    them; else they are predicted as zero. A missing band is linear prediction's alone, for in maps of complete frames
    the network sees nothing of how sure it is, and what it learnt to change made it worse.
    """

    config_class = LWMTemporalPredictorConfig

    def __init__(self, config: LWMTemporalPredictorConfig):
        super().__init__(config)
        # Marks frames of which linear prediction tells.
        self.told = nn.Parameter(torch.zeros(self.architecture.embed_dim)) if self.orders else None
        if self.predicts_changes:
            nn.init.zeros_(self.reconstruct.weight)

    @property
    def orders(self) -> dict[str, int] | None:
        """Of linear prediction, by axis; None: there is none."""
        start = self.options.prediction.linear_start
        return None if start is None else start.model_dump()

    @property
    def predicts_changes(self) -> bool:
        """Whether the head gives the change from the last known frame, not the hidden frames themselves."""
        return not self.options.prediction.inference_only

    @property
    def temporal_offsets(self) -> list[int]:
        """Those of the fine-tuning, where there is one."""
        return self.options.prediction.temporal_offsets if self.predicts_changes else self.architecture.temporal_offsets

    def load_backbone(self, backbone: LWMTemporal) -> None:
        """Take over the weights of a pretrained backbone; and of its head unless the head learns changes."""
        weights = backbone.state_dict()
        if self.predicts_changes:
            weights = {name: value for name, value in weights.items() if not name.startswith("reconstruct.")}
        self.load_state_dict(weights, strict=False)

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one batch, in the time or the frequency domain, drawn per batch; with a linear start in time.

        Args:
            csi: complex (batch, time, angle, delay), the target.
            generator: draws the domain, a symmetry of CSI, the SNR of each sample and the noise.

        Returns:
            loss: NMSE of the predicted frames, or of the missing band in all frames.
        """
        subcarriers = round(csi.shape[-1] / self.config.delay_fraction)
        clean = random_symmetry(to_csi(csi, (1, 1, csi.shape[-2]), subcarriers), generator)
        low, high = self.options.prediction.snr_db
        axis = "time" if torch.rand(1, generator=generator) < 0.5 or self.orders else "frequency"
        snr_db = low + (high - low) * torch.rand(len(csi), generator=generator)
        known = self._known(clean, axis)
        if axis == "time" and self.options.prediction.horizon is not None:
            least, most = (min(slots, clean.shape[1] - known.shape[1]) for slots in self.options.prediction.horizon)
            drawn = least + int(torch.randint(most - least + 1, (), generator=generator))
            clean = clean[:, : known.shape[1] + drawn]
        known = add_noise(known, snr_db, generator)
        scale = rms_scale(known)
        more = clean.shape[1] - known.shape[1], clean.shape[3] - known.shape[3]
        found, target = (
            whole[:, known.shape[1] :] if axis == "time" else whole[..., known.shape[3] :]
            for whole in (self._longer(known / scale, *more), clean / scale)
        )
        error, power = (part.abs().square().sum(dim=(1, 2, 3)) for part in (found - target, target))
        loss = (error / power.clamp_min(1e-6)).mean()
        return {"loss": loss, f"loss_{axis}": loss.detach()}

    def _known(self, csi: torch.Tensor, axis: str) -> torch.Tensor:
        if axis == "time":
            return csi[:, : round(csi.shape[1] * self.options.prediction.known_fraction)]
        return csi[..., : round(csi.shape[3] * self.options.prediction.known_fraction)]

    def _started(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """Maps (batch, time, angle, delay) of a known block and of what follows it, as far as that is known so far.

        Without linear prediction the frames that follow are 0, and a band of which a part is missing is blurred.
        """
        if self.orders is None:
            whole = pad(known, (0, subcarriers, 0, 0, 0, slots))
        else:
            whole = continued(known, slots, 0, self.orders)
        return to_angle_delay(whole, (1, 1, known.shape[2]), whole.shape[3])

    def _fill_in(self, maps: torch.Tensor, slots: int) -> torch.Tensor:
        """Maps (batch, time, angle, delay) of which the last frames, as many as `slots`, are not known: as the network
        has them."""
        grid = self.patches.grid(maps.shape)
        future = torch.arange(grid[0], device=maps.device) >= grid[0] - slots
        mask = future.repeat_interleave(grid[1] * grid[2]).expand(len(maps), -1)
        tokens = self.patches.split(maps)
        reconstruction, factor = self._reconstruct(tokens, mask, grid, self.told)
        if self.told is not None:
            return self.patches.join(tokens + reconstruction, grid)
        if not self.predicts_changes:
            return self.patches.join(torch.where(mask.unsqueeze(-1), reconstruction, tokens), grid)
        held = self._held(tokens, factor, grid, slots)
        return self.patches.join(torch.where(mask.unsqueeze(-1), held, tokens) + reconstruction, grid)

    def _held(self, tokens, factor, grid, slots):
        """The last known frame in all frames, turned as the factors are."""
        by_frame = factor.unflatten(1, (grid[0], -1))
        last = grid[0] - 1 - slots
        bins = to_complex(tokens).unflatten(1, (grid[0], -1))[:, last : last + 1]
        return to_features((bins / by_frame[:, last : last + 1] * by_frame).flatten(1, 2))

    @torch.no_grad()
    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """Continue CSI in time, in frequency or in both; see `wavefoundry.networks.capabilities.Predictor`.

        Where both are asked for, the band is completed first, for which all known frames are seen, then continued.

        Args:
            known: complex (batch, time, antenna, subcarrier), of a uniform linear array.
            slots, subcarriers: how many are asked for beyond the known ones.

        Raises:
            InputError: as `checked` says, patches do not divide the grid, there are more tokens than max_seq_len, or
                windows are larger than the grid.
        """
        scale = rms_scale(known)
        csi = known / scale
        if subcarriers:
            csi = self._longer(csi, 0, subcarriers)
        if slots:
            csi = self._longer(csi, slots, 0)
        csi = csi * scale
        csi = csi[:, known.shape[1] :] if slots else csi
        return csi[..., known.shape[3] :] if subcarriers else csi

    def _longer(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """CSI with so many slots, or with so many subcarriers, more; with a linear start the band is its alone."""
        if subcarriers and self.orders is not None:
            longer = continued(known, 0, subcarriers, self.orders)
            self._require_fit(self.patches.grid(longer[..., : self.kept_bins(longer.shape[3])].shape))
            return longer
        maps = self._started(known, slots, subcarriers)
        band = maps.shape[3]
        read, later = maps.split([self.kept_bins(band), band - self.kept_bins(band)], dim=3)
        read = self._fill_in(read, slots)
        maps = read if self.told is None else torch.cat([read, later], dim=3)
        return to_csi(maps, (1, 1, known.shape[2]), band)


def build(options: Options, delay_fraction: float) -> LWMTemporalPredictor:
    """A fresh predictor."""
    return LWMTemporalPredictor(LWMTemporalPredictorConfig.of(options, delay_fraction))


def train(options: Options, session: TrainingSession) -> Trained:
    """Masked channel modelling, then fine-tuning for prediction, whose epochs count on."""
    prediction = options.prediction
    # Before the pretraining: too few samples are found at once.
    few = None if prediction.few_shot is None else FewShot(session.dataset, prediction.few_shot, session.seed)
    backbone, pretraining = train_network(
        LWMTemporal(LWMTemporalConfig.of(options, session.delay_fraction)),
        session.dataset,
        config=options.training,
        seed=session.seed,
        checkpoints=session.checkpoints / "pretraining",
        on_epoch=session.on_epoch,
        callbacks=[MaskingCurriculum(options.masking)],
    )
    history = [{"stage": "pretraining"} | row for row in pretraining]
    predictor = build(options, session.delay_fraction)
    predictor.load_backbone(backbone)
    if prediction.inference_only:
        return Trained(predictor.eval(), history, backbone)
    done = options.training.epochs

    def on_epoch(row: dict, step: int) -> None:
        if session.on_epoch:
            session.on_epoch(row | {"epoch": row["epoch"] + done}, step)

    predictor, fine_tuning = train_network(
        predictor,
        few or session.dataset,
        config=prediction.training,
        seed=session.seed,
        checkpoints=session.checkpoints / "prediction",
        on_epoch=on_epoch,
    )
    history += [{"stage": "prediction"} | row | {"epoch": row["epoch"] + done} for row in fine_tuning]
    return Trained(predictor, history, backbone)


NETWORKS = (LWMTemporal, LWMTemporalPredictor)
