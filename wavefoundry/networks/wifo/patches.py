"""CSI cut into the boxes that are the tokens of a WiFo, and put together again.

Sizes are free: where the patch does not divide one, the CSI is padded with zeros to whole patches. There is never more
padding than the last patch lacks, so that every patch holds a value of the CSI and no token stands for padding alone.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from wavefoundry.errors import InputError

AXES = ("time", "antenna", "subcarrier")


def grid_of(shape: Sequence[int], patch: Sequence[int]) -> tuple[int, int, int]:
    """Patches along (time, antenna, subcarrier), those that are padded among them.

    Raises:
        InputError: the CSI has no entries along an axis.
    """
    for axis, size in zip(AXES, shape, strict=True):
        if size < 1:
            raise InputError(f"csi has {size} entries along {axis}; allowed: 1 or more")
    time, antenna, subcarrier = (-(-size // step) for size, step in zip(shape, patch, strict=True))
    return time, antenna, subcarrier


def padding_of(shape: Sequence[int], patch: Sequence[int]) -> tuple[int, int, int]:
    """Entries along (time, antenna, subcarrier) that a CSI lacks to whole patches."""
    time, antenna, subcarrier = (-size % step for size, step in zip(shape, patch, strict=True))
    return time, antenna, subcarrier


def to_patches(csi: torch.Tensor, patch: Sequence[int], before: Sequence[int] = (0, 0, 0)) -> torch.Tensor:
    """Cut.

    Args:
        csi: (batch, time, antenna, subcarrier).
        patch: entries of a patch along (time, antenna, subcarrier).
        before: how much of the padding lies in front of the CSI along each axis; the rest lies behind it.

    Returns:
        (batch, token, values of a patch), tokens in the order time, antenna, subcarrier, and so the values.
    """
    padding = padding_of(csi.shape[1:], patch)
    if any(padding):
        sides = [side for front, all_ in zip(before, padding, strict=True) for side in (all_ - front, front)]
        csi = F.pad(csi, sides[::-1])  # from the last axis to the first
    (t, n, k), (pt, pn, pk) = grid_of(csi.shape[1:], patch), patch
    return csi.reshape(-1, t, pt, n, pn, k, pk).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, t * n * k, pt * pn * pk)


def inside(shape: Sequence[int], patch: Sequence[int], before: Sequence[int]) -> torch.Tensor:
    """Where the patches of a CSI of the shape (time, antenna, subcarrier) hold its values and no padding.

    Returns:
        bool (token, values of a patch), as `to_patches` orders them.
    """
    return to_patches(torch.ones(1, *shape, dtype=torch.bool), patch, before)[0]


def from_patches(patches: torch.Tensor, grid: Sequence[int], patch: Sequence[int]) -> torch.Tensor:
    """Inverse of `to_patches`, padding included: (batch, time, antenna, subcarrier) of whole patches."""
    (t, n, k), (pt, pn, pk) = grid, patch
    boxes = patches.reshape(-1, t, n, k, pt, pn, pk).permute(0, 1, 4, 2, 5, 3, 6)
    return boxes.reshape(-1, t * pt, n * pn, k * pk)
