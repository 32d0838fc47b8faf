"""What the heads may read of a snapshot: the raw channel, or what a frozen backbone makes of it.

All share one form: `embed` gives representations, `cut` the patches of a channel that the tokens stand for, and `join`
puts patches together to a channel again, so that one head per patch can give back a channel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.models.channel_tokens import patchify, unpatchify
from wavefoundry.models.lwm_temporal import LWMTemporal
from wavefoundry.models.representations import Representations
from wavefoundry.models.wifo import WiFo

REPRESENTATIONS = ("class_token", "flattened", "mean")
BATCH = 64  # snapshots in one call of a network; part of the result, for sums are rounded by it


@dataclass(frozen=True)
class Input:
    """One way to read snapshots.

    representations: of REPRESENTATIONS, those that there are.
    embed: complex (sample, antenna, subcarrier) -> Representations.
    cut: complex (sample, antenna, subcarrier) -> real (sample, token, value), one token per patch of `embed`.
    join: inverse of `cut`: tokens, (antennas, subcarriers) -> complex (sample, antenna, subcarrier).
    """

    representations: tuple[str, ...]
    embed: Callable[[torch.Tensor], Representations]
    cut: Callable[[torch.Tensor], torch.Tensor]
    join: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]


def raw_channel(patch_size: int, representations: tuple[str, ...]) -> Input:
    """Real and imaginary parts of the channel itself, of unit RMS as the backbones read it."""

    def embed(csi: torch.Tensor) -> Representations:
        scale = rms_scale(csi)
        tokens = patchify(csi / scale, patch_size)
        return Representations(None, tokens, tokens.mean(dim=1), scale.flatten())

    return Input(
        representations,
        embed,
        lambda csi: patchify(csi, patch_size),
        lambda tokens, shape: unpatchify(tokens, shape, patch_size),
    )


def snapshot_backbone(model: torch.nn.Module, patch_size: int) -> Input:
    """WiMamba or LWM at one granularity."""
    return Input(
        REPRESENTATIONS,
        lambda csi: model.embed(csi, patch_size),
        lambda csi: patchify(csi, patch_size),
        lambda tokens, shape: unpatchify(tokens, shape, patch_size),
    )


def lwm_temporal_backbone(model: LWMTemporal) -> Input:
    """LWM-Temporal, for which a snapshot is a sequence of one slot; its patches are of the angle-delay map.

    `join` knows the delays that the network keeps: later ones are lost.
    """

    def kept_bins(subcarriers: int) -> int:
        return max(1, round(subcarriers * model.config.keep_percentage))

    def cut(csi: torch.Tensor) -> torch.Tensor:
        maps = to_angle_delay(csi[:, None], (1, 1, csi.shape[1]), kept_bins(csi.shape[2]))
        return model.patches.split(maps)

    def join(tokens: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        grid = model.patches.grid((len(tokens), 1, shape[0], kept_bins(shape[1])))
        return to_csi(model.patches.join(tokens, grid), (1, 1, shape[0]), shape[1])[:, 0]

    representations = REPRESENTATIONS if model.config.class_token else REPRESENTATIONS[1:]
    return Input(representations, lambda csi: model.embed(csi[:, None]), cut, join)


def wifo_backbone(model: WiFo) -> Input:
    """WiFo's encoder, for which a snapshot is a channel at rest."""
    rows, columns = model.config.patch_size[1:]

    def cut(csi: torch.Tensor) -> torch.Tensor:
        patches = csi.unflatten(2, (-1, columns)).unflatten(1, (-1, rows)).permute(0, 1, 3, 2, 4)
        patches = patches.flatten(3).flatten(1, 2)
        return torch.cat([patches.real, patches.imag], dim=-1)

    def join(tokens: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        patches = torch.complex(*tokens.chunk(2, dim=-1))
        grid = (shape[0] // rows, shape[1] // columns)
        return patches.unflatten(1, grid).unflatten(-1, (rows, columns)).permute(0, 1, 3, 2, 4).reshape(-1, *shape)

    return Input(REPRESENTATIONS[1:], model.embed, cut, join)


@torch.no_grad()
def embed_all(source: Input, csi: torch.Tensor) -> Representations:
    """Representations of any number of snapshots (sample, antenna, subcarrier)."""
    parts = [source.embed(part) for part in csi.split(BATCH)]

    def whole(name: str) -> torch.Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values)

    return Representations(*map(whole, ("class_token", "patches", "mean", "scale")))
