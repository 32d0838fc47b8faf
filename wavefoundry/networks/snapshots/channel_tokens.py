"""Tokens of single channel snapshots, their masking, and what a backbone makes of them: common to WiMamba and LWM.

A snapshot H (antenna x subcarrier) is cut into square patches of p x p; a token holds the real parts of a patch and
then its imaginary parts, L = 2 p^2 values, so that both parts of an entry are always masked together. The granularity
p is free: each has an embedding and a decoding head of its own, and everything between them is shared.
Source: "WiMamba: Linear-Scale Wireless Foundation Model", arXiv:2603.26367, and the masked channel modelling of
Alikhani et al., "Large Wireless Model (LWM): A Foundation Model for Wireless Channels", arXiv:2411.08872.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from wavefoundry.csi.given import SNAPSHOTS, as_csi
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.errors import InputError
from wavefoundry.networks.representations import Representations

MASK_VALUE = 0.1  # of every entry of a masked token
CLASS_START = 0.2  # of every entry of the class token
REPLACED, NOISY = 0.8, 0.1  # shares of the masked tokens; the others stay as they are
# Snapshots are scaled to an RMS of 1, which real and imaginary parts share.
NOISE_DEVIATION = 0.5**0.5

# From tokens (batch, 1 + token, hidden_size), class token first, and the rows and columns of their grid of patches to
# the same shape.
Backbone = Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]


class ChannelTokens(nn.Module):
    """Embeddings and decoding heads, one of each for every granularity, and the class token.

    Args:
        patch_sizes: side lengths p of the patches.
        hidden_size: width of the backbone.
        max_seq_len: most tokens of a snapshot, class token included.
    """

    def __init__(self, patch_sizes, hidden_size: int, max_seq_len: int):
        super().__init__()
        self.patch_sizes = tuple(patch_sizes)
        self.max_seq_len = max_seq_len
        self.class_token = nn.Parameter(torch.full((hidden_size,), CLASS_START))
        self.embeddings = nn.ModuleDict({str(size): nn.Linear(2 * size**2, hidden_size) for size in self.patch_sizes})
        self.heads = nn.ModuleDict({str(size): nn.Linear(hidden_size, 2 * size**2) for size in self.patch_sizes})

    def split(self, csi: torch.Tensor, patch_size: int) -> torch.Tensor:
        """Tokens of snapshots: complex (batch, antenna, subcarrier) -> real (batch, token, 2 patch_size^2).

        Raises:
            InputError: a granularity without an embedding, or more tokens than max_seq_len.
        """
        tokens = patchify(csi, self.known_granularity(patch_size))
        if tokens.shape[1] + 1 > self.max_seq_len:
            raise InputError(
                f"{csi.shape[1]} antennas x {csi.shape[2]} subcarriers in patches of {patch_size} x {patch_size} are "
                f"{tokens.shape[1] + 1} tokens with the class token; max_seq_len is {self.max_seq_len}"
            )
        return tokens

    def known_granularity(self, patch_size: int | None) -> int:
        """The granularity itself.

        Raises:
            InputError: there is no embedding for it.
        """
        if patch_size is None or patch_size not in self.patch_sizes:
            allowed = ", ".join(map(str, self.patch_sizes))
            raise InputError(f"patch_size is {patch_size!r}; this model has embeddings for {allowed}")
        return patch_size

    def embed(self, tokens: torch.Tensor, patch_size: int) -> torch.Tensor:
        """(batch, token, 2 patch_size^2) -> (batch, 1 + token, hidden_size), class token first."""
        embedding = cast(nn.Linear, self.embeddings[str(patch_size)])
        embedded = embedding(tokens.to(embedding.weight.dtype))
        first = self.class_token.to(embedded.dtype).expand(len(tokens), 1, -1)
        return torch.cat([first, embedded], dim=1)

    def decode(self, hidden: torch.Tensor, patch_size: int) -> torch.Tensor:
        """(..., hidden_size) -> (..., 2 patch_size^2)."""
        return self.heads[str(patch_size)](hidden)

    def masked_modelling(
        self,
        backbone: Backbone,
        csi: torch.Tensor,
        mask_ratio: float,
        generator: torch.Generator,
        patch_size: int | None = None,
    ) -> dict[str, torch.Tensor]:
        """Loss of one batch of masked channel modelling.

        Args:
            backbone: see `Backbone`.
            csi: complex (batch, time, antenna, subcarrier). One slot of every sample is drawn: slots of a window are
                nearly alike, so that more of them would cost time and teach little.
            mask_ratio: share of the tokens to mask.
            generator: of granularity, slots and masks; on the CPU.
            patch_size: the granularity; drawn uniformly for the batch if not given.

        Returns:
            "loss", the mean square error of the masked tokens of snapshots of unit RMS, and "nmse_db", the same
            relative to the energy of those tokens.
        """
        if patch_size is None:
            patch_size = self.patch_sizes[torch.randint(len(self.patch_sizes), (), generator=generator)]
        slots = torch.randint(csi.shape[1], (len(csi),), generator=generator).to(csi.device)
        snapshots = csi[torch.arange(len(csi), device=csi.device), slots]
        tokens = self.split(snapshots / rms_scale(snapshots), patch_size)
        shown, masked_at = mask_tokens(tokens, mask_ratio, generator)
        grid = grid_of(snapshots.shape[1:], patch_size)
        hidden = backbone(self.embed(shown, patch_size), grid)[:, 1:]
        found = self.decode(hidden.take_along_dim(masked_at[:, :, None], dim=1), patch_size).float()
        target = tokens.take_along_dim(masked_at[:, :, None], dim=1).float()
        loss = F.mse_loss(found, target)
        energy = target.square().mean().clamp_min(torch.finfo(target.dtype).tiny)
        return {"loss": loss, "nmse_db": 10 * (loss.detach() / energy).log10()}

    def represent(self, backbone: Backbone, csi: torch.Tensor, patch_size: int | None) -> Representations:
        """Representations of complex snapshots (batch, antenna, subcarrier); nothing is masked."""
        csi = as_csi(csi, SNAPSHOTS)
        scale = rms_scale(csi)
        patch_size = self.known_granularity(patch_size)
        tokens = self.split(csi / scale, patch_size)
        hidden = backbone(self.embed(tokens, patch_size), grid_of(csi.shape[1:], patch_size))
        patches = hidden[:, 1:]
        return Representations(hidden[:, 0], patches, patches.mean(dim=1), scale.flatten())


def grid_of(shape: Sequence[int], patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches of a snapshot of this shape (antenna, subcarrier)."""
    antennas, subcarriers = shape
    return -(-antennas // patch_size), -(-subcarriers // patch_size)


def patchify(csi: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cut snapshots into square patches, the last row and column of them filled up with zeros.

    Args:
        csi: complex (batch, antenna, subcarrier).

    Returns:
        real (batch, token, 2 patch_size^2), row by row of the grid of patches; in each the real parts, row by row of
        the patch, then the imaginary parts.
    """
    rows, columns = grid_of(csi.shape[1:], patch_size)
    parts = torch.stack([csi.real, csi.imag], dim=1)
    missing = (columns * patch_size - csi.shape[2], rows * patch_size - csi.shape[1])
    parts = F.pad(parts, (0, missing[0], 0, missing[1]))
    patches = parts.reshape(len(csi), 2, rows, patch_size, columns, patch_size).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(len(csi), rows * columns, 2 * patch_size**2)


def unpatchify(tokens: torch.Tensor, shape: tuple[int, int], patch_size: int) -> torch.Tensor:
    """Inverse of `patchify`: complex (batch, antenna, subcarrier) of `shape` (antenna, subcarrier)."""
    rows, columns = grid_of(shape, patch_size)
    patches = tokens.reshape(len(tokens), rows, columns, 2, patch_size, patch_size).permute(0, 3, 1, 4, 2, 5)
    parts = patches.reshape(len(tokens), 2, rows * patch_size, columns * patch_size)
    return torch.complex(*parts.unbind(1))[:, : shape[0], : shape[1]]


def mask_tokens(
    tokens: torch.Tensor, mask_ratio: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide tokens, at positions of its own for every sample: 80 % become a constant, 10 % noise, 10 % stay.

    Args:
        tokens: real (batch, token, value), of snapshots of unit RMS.
        mask_ratio: share of the tokens to mask.
        generator: on the CPU, so that a seed means the same on every device.

    Returns:
        the tokens to show, like `tokens`, and the masked positions (batch, masked token).
    """
    batch, count, values = tokens.shape
    masked_count = max(1, round(mask_ratio * count))
    # Shuffled, so that any of them can be the replaced, the noisy or the untouched ones.
    masked_at = torch.rand(batch, count, generator=generator).argsort(dim=1)[:, :masked_count]
    replaced = round(REPLACED * masked_count)
    noisy = round((REPLACED + NOISY) * masked_count)
    instead = torch.full((batch, noisy, values), MASK_VALUE)
    instead[:, replaced:] = NOISE_DEVIATION * torch.randn(batch, noisy - replaced, values, generator=generator)
    masked_at = masked_at.to(tokens.device)
    where = masked_at[:, :noisy, None].expand_as(instead)
    return tokens.scatter(1, where, instead.to(tokens)), masked_at
