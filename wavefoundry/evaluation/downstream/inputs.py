"""What heads may read of snapshots: the raw channel, or what a network makes of it, at one patch size."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from wavefoundry.csi.given import SNAPSHOTS, as_csi
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.heads import project
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.networks.capabilities import Embedder
from wavefoundry.networks.representations import Representations
from wavefoundry.networks.snapshots.channel_tokens import patchify, unpatchify

REPRESENTATIONS = ("class_token", "flattened", "mean")
NATIVE = "native"  # the patch size of a network that has no choice
BATCH = 64  # snapshots in one call of a network; part of the result, for sums are rounded by it


class RawChannel:
    """Real and imaginary parts of the channel itself, of unit RMS as networks read it; an `Embedder`."""

    def embed(self, csi: torch.Tensor, patch_size: int | None = None) -> Representations:
        """The patches themselves: complex (batch, antenna, subcarrier) -> patches (batch, token, 2 patch_size^2)."""
        csi = as_csi(csi, SNAPSHOTS)
        scale = rms_scale(csi)
        tokens = self.cut(csi / scale, patch_size)
        return Representations(None, tokens, tokens.mean(dim=1), scale.flatten())

    def cut(self, csi: torch.Tensor, patch_size: int | None = None) -> torch.Tensor:
        """See `channel_tokens.patchify`."""
        return patchify(csi, _required(patch_size))

    def join(self, tokens: torch.Tensor, shape: tuple[int, int], patch_size: int | None = None) -> torch.Tensor:
        """See `channel_tokens.unpatchify`."""
        return unpatchify(tokens, shape, _required(patch_size))


def _required(patch_size: int | None) -> int:
    if patch_size is None:
        raise InputError("the raw channel is read in patches of any size, but none is given")
    return patch_size


@dataclass(frozen=True)
class Input:
    """An embedder at one of its patch sizes.

    embedder: a network in evaluation mode, or the raw channel.
    patch_size: None of an embedder that has no choice.
    kinds: of REPRESENTATIONS, those that heads may read if the embedder gives them.
    """

    embedder: Embedder
    patch_size: int | None
    kinds: tuple[str, ...] = REPRESENTATIONS

    @torch.no_grad()
    def embed(self, csi: torch.Tensor) -> Representations:
        """Representations of any number of snapshots: complex (sample, antenna, subcarrier)."""
        parts = [self.embedder.embed(part, self.patch_size) for part in csi.split(BATCH)]
        tokens = [part.class_token for part in parts if part.class_token is not None]
        return Representations(
            torch.cat(tokens) if tokens else None,
            torch.cat([part.patches for part in parts]),
            torch.cat([part.mean for part in parts]),
            torch.cat([part.scale for part in parts]),
        )

    def cut(self, csi: torch.Tensor) -> torch.Tensor:
        """The part of a channel that each token stands for, see `capabilities.Embedder.cut`."""
        return self.embedder.cut(csi, self.patch_size)

    def join(self, tokens: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Inverse of `cut`, see `capabilities.Embedder.join`."""
        return self.embedder.join(tokens, shape, self.patch_size)


def network_inputs(network: Embedder, patch_sizes: Sequence[int] | None) -> dict[str, Input]:
    """A network at each of some patch sizes by the size as text; under NATIVE at its only one if that is None."""
    if patch_sizes is None:
        return {NATIVE: Input(network, None)}
    return {str(size): Input(network, size) for size in patch_sizes}


def raw_inputs(patch_sizes: Sequence[int]) -> dict[str, Input]:
    """The raw channel at each patch size.

    Flattened it is the same at all of them, so that the first one stands for them all, and the mean over its patches
    mixes places; heads on patches read every size.
    """
    raw = RawChannel()
    return {str(size): Input(raw, size, ("flattened",) if size == patch_sizes[0] else ()) for size in patch_sizes}


class Reading:
    """All snapshots as one input gives them; they are embedded once, when they are first asked for.

    Args:
        source: the input.
        snapshots: channels and labels.
        max_features: wider representations are projected on as many principal components.
    """

    def __init__(self, source: Input, snapshots: Snapshots, max_features: int):
        self.source = source
        self.snapshots = snapshots
        self._max_features = max_features
        self._features: dict[str, np.ndarray] = {}

    @cached_property
    def seen(self) -> Representations:
        """Representations of the clean snapshots."""
        return self.source.embed(self.snapshots.csi)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The representations that heads may read."""
        without = {"class_token"} if self.source.kinds and self.seen.class_token is None else set()
        return tuple(kind for kind in self.source.kinds if kind not in without)

    def features(self, kind: str) -> np.ndarray:
        """One of `kinds` as features (sample, feature), at most `max_features` of them."""
        if kind not in self._features:
            values = self.seen.patches.flatten(1) if kind == "flattened" else getattr(self.seen, kind)
            self._features[kind] = project(values.numpy(), self.snapshots.rows["train"], self._max_features)
        return self._features[kind]

    @cached_property
    def strength(self) -> np.ndarray:
        """Logarithm of the RMS of every snapshot, to base 10: float32 (sample, 1)."""
        return np.log10(self.seen.scale.numpy())[:, None].astype(np.float32)

    def release(self) -> None:
        """Give back the memory of the representations; features that were asked for stay."""
        self.__dict__.pop("seen", None)
