"""Sine-cosine positions on a grid of tokens, and attention that starts by reading along its axes.

From weights drawn without regard to positions, masked modelling of channels stays at the mean, a loss of 1, for
thousands of steps: neighbouring positions are nearly alike, and a query sees the mean of all tokens, which is about 0.
Here a network starts as an interpolator: contents and positions lie in separate subspaces, so that neither disturbs the
other, and each head compares positions in its own way. Every weight is then free to learn. Cf. Trockman and Kolter,
"Mimetic Initialization of Self-Attention Layers", arXiv:2305.09828.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

# Positions are kept apart from contents, and read exactly, on grids of so many tokens along each axis.
TOKENS = 16
# Share of the energy of their positions that the subspace of positions holds.
ENERGY = 0.999
# Frequencies along an axis that are compared, the highest ones: others hardly change from one token to the next.
FREQUENCIES = 3
# Mean square of the features of a token that its contents have at the start; positions have as much.
CONTENT_POWER = 0.5
# Start of the heads: how much of what an embedding has brought in they give back.
HEAD_START = 0.4
# Logits of a query and a key are this much times the sum of the cosines of their distances, over the frequencies.
SHARPNESS = 6.0


@dataclass(frozen=True)
class Comparison:
    """Rows of query and key weights by which a head compares positions, (row, size) each; the first ones tell most."""

    query: torch.Tensor
    key: torch.Tensor

    def start(self, query: torch.Tensor, key: torch.Tensor) -> None:
        """Start the weights (row, size) of a head, in place; rows that are left over stay random, at half strength."""
        for weights, found in ((query, self.query), (key, self.key)):
            rows = min(len(weights), len(found)) // 2 * 2  # no sine without its cosine
            weights.mul_(0.5)
            weights[:rows] = found[:rows]


class PositionSpace:
    """The features of positions, and how to tell a position from a token that LayerNorm has normalised.

    Args:
        widths: features of each axis, even numbers; their sum is the size of a token.

    Attributes:
        contents: basis (row, size) of the space that is free of positions, and of the mean over features, which
            LayerNorm takes away.
    """

    def __init__(self, widths: Sequence[int]):
        self._widths = tuple(widths)
        encoding = position_encoding([TOKENS] * len(widths), widths).double()
        centred = encoding - encoding.mean(1, keepdim=True)
        covariance = centred.T @ centred
        energy, directions = torch.linalg.eigh(covariance)
        energy, directions = energy.flip(0), directions.T.flip(0)
        rank = int((energy.cumsum(0) < ENERGY * energy.sum()).sum()) + 1
        own = directions[:rank]
        mean = torch.ones(1, encoding.shape[1], dtype=own.dtype) / math.sqrt(encoding.shape[1])
        self.contents = torch.linalg.svd(torch.cat([mean, own]))[2][rank + 1 :].float()
        # What LayerNorm makes of positions beside contents, and back. Cosines of low frequencies, which hardly change,
        # tell the mean that is gone: no bias is needed, which would be wrong for tokens with more or less to carry.
        normalised = centred / (centred.square().mean(1, keepdim=True) + CONTENT_POWER).sqrt()
        found = torch.linalg.lstsq(normalised @ own.T, encoding).solution
        self._reading = (found.T @ own).float()

    def along(self, axes: Sequence[int], head_width: int) -> Comparison:
        """Compares positions along some axes: a query looks at its own place along these, anywhere along others."""
        weights = _scale(head_width) * self._reading[self._rows(axes)]
        return Comparison(weights, weights)

    def beside(self, axis: int, steps: int, head_width: int) -> Comparison:
        """Compares a position with one beside it: a query looks so many steps further along an axis, below 0 back."""
        turns = torch.eye(len(self._reading))
        for frequency in range(min(FREQUENCIES, self._widths[axis] // 2)):
            sine, cosine = _sine_and_cosine(self._widths, axis, frequency)
            turn = steps * float(_frequencies(self._widths[axis])[frequency])
            # What the own position would be, so many steps further.
            turns[sine, [sine, cosine]] = torch.tensor([math.cos(turn), math.sin(turn)])
            turns[cosine, [sine, cosine]] = torch.tensor([-math.sin(turn), math.cos(turn)])
        rows, scale = self._rows(range(len(self._widths))), _scale(head_width)
        return Comparison(scale * (turns @ self._reading)[rows], scale * self._reading[rows])

    def _rows(self, axes: Sequence[int]) -> list[int]:
        """The features that are compared along some axes, the highest frequency first."""
        return [
            row
            for frequency in range(FREQUENCIES)
            for axis in axes
            if frequency < self._widths[axis] // 2
            for row in _sine_and_cosine(self._widths, axis, frequency)
        ]


def position_encoding(grid: Sequence[int], widths: Sequence[int]) -> torch.Tensor:
    """Fixed sine-cosine encoding of every position of a grid.

    Args:
        grid: tokens along each axis.
        widths: features of each axis, even numbers.

    Returns:
        float32 (token, sum of widths), the last axis of the grid running fastest; of each axis the sines and then the
        cosines, from the highest frequency, 1 radian a token, downwards.
    """
    axes = []
    for dimension, part in enumerate(widths):
        angles = torch.arange(grid[dimension], dtype=torch.float64)[:, None] * _frequencies(part)
        encoding = torch.cat([angles.sin(), angles.cos()], dim=1)
        shape = [1] * len(grid) + [part]
        shape[dimension] = grid[dimension]
        axes.append(encoding.reshape(shape).expand(*grid, part))
    return torch.cat(axes, dim=-1).flatten(0, -2).float()


@torch.no_grad()
def carry_contents(contents: torch.Tensor, embedding: torch.Tensor, head: torch.Tensor) -> None:
    """Start an embedding and a head such that values come in and go out by the subspace of contents.

    Contents get half of the power of a token, positions have the other half: CONTENT_POWER.

    Args:
        contents: see `PositionSpace`.
        embedding: weights from values of unit power, real and imaginary parts, (size, values); changed in place.
        head: weights to values, (values, size); changed in place.
    """
    rows, size = contents.shape
    values = len(head)
    basis = nn.init.orthogonal_(torch.empty(rows, values))
    scale = math.sqrt(size / max(rows, 1) / min(1.0, values / max(rows, 1)))
    embedding.copy_(scale * contents.T @ basis)
    head.copy_(HEAD_START / scale * basis.T @ contents)


@torch.no_grad()
def pass_contents_on(contents: torch.Tensor, value: torch.Tensor, out: torch.Tensor, share: float) -> None:
    """Start value weights (size, size) and output weights (size, size) of attention such that a share of the contents
    of what is attended to comes out; changed in place."""
    mixing = nn.init.orthogonal_(torch.empty_like(out))
    value.copy_(mixing)
    out.copy_(share * contents.T @ contents @ mixing.T)


def _frequencies(width: int) -> torch.Tensor:
    """Of the features of an axis [radian per token], float64 (width / 2,)."""
    return 10000 ** (-2 * torch.arange(width // 2, dtype=torch.float64) / max(width, 1))


def _sine_and_cosine(widths: Sequence[int], axis: int, frequency: int) -> tuple[int, int]:
    """Which features of a position are the sine and the cosine of one frequency along an axis."""
    sine = sum(widths[:axis]) + frequency
    return sine, sine + widths[axis] // 2


def _scale(head_width: int) -> float:
    """Of rows of both queries and keys, so that products divided by the root of the head's width are SHARPNESS."""
    return math.sqrt(SHARPNESS * math.sqrt(head_width))
