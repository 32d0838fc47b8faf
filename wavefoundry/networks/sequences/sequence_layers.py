"""Layers of the published networks for single sequences.

Source: "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440, and its published code.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class PatchMixing(nn.Module):
    """One linear map over the slots of every patch, the same for all patches and features.

    Slots that fill no patch are padded with zeros before and cut off after.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.mix = nn.Linear(size, size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(sequence, slot, feature) -> the same shape."""
        slots = features.shape[1]
        padded = F.pad(features, (0, 0, 0, -slots % self.size))
        patches = padded.transpose(1, 2).unflatten(2, (-1, self.size))
        return self.mix(patches).flatten(2).transpose(1, 2)[:, :slots]


class ChannelAttention(nn.Module):
    """One weight for every channel of an image, of its mean and its maximum (the paper's CSI attention)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(sequence, channel, slot, subcarrier) -> (sequence, channel, 1, 1)."""
        mean, largest = image.mean((2, 3), keepdim=True), image.amax((2, 3), keepdim=True)
        return (self.weigh(mean) + self.weigh(largest)).sigmoid()


class ResidualBlock(nn.Module):
    """Two convolutions, weighed by channel attention, beside the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.attention = ChannelAttention(channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(sequence, channel, slot, subcarrier) -> the same shape."""
        changed = self.convolutions(image)
        return image + changed * self.attention(changed)


class ChannelAttentionStack(nn.Sequential):
    """Residual blocks over an image of two planes, real and imaginary parts."""

    def __init__(self, channels: int, blocks: int):
        super().__init__(
            nn.Conv2d(2, channels, 3, padding=1),
            *(ResidualBlock(channels) for _ in range(blocks)),
            nn.Conv2d(channels, 2, 3, padding=1),
        )

    def of_features(self, features: torch.Tensor) -> torch.Tensor:
        """The same for (sequence, slot, 2 x subcarrier) with alternating real and imaginary parts."""
        image = features.unflatten(2, (-1, 2)).permute(0, 3, 1, 2)
        return self(image).permute(0, 2, 3, 1).flatten(2)


class CircularEmbedding(nn.Module):
    """A convolution over three slots, the last one a neighbour of the first, plus sine-cosine positions."""

    def __init__(self, features: int, width: int, dropout: float):
        super().__init__()
        self.convolution = nn.Conv1d(features, width, 3, padding=1, padding_mode="circular", bias=False)
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(sequence, slot, feature) -> (sequence, slot, width)."""
        embedded = self.convolution(features.transpose(1, 2)).transpose(1, 2)
        return self.dropout(embedded + sine_positions(embedded.shape[1], embedded.shape[2]).to(embedded))


class OverTime(nn.Module):
    """A linear map over the tokens of a sequence, the same for all of their values."""

    def __init__(self, tokens: int, wanted: int):
        super().__init__()
        self.map = nn.Linear(tokens, wanted)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(sequence, token, width) -> (sequence, wanted token, width)."""
        return self.map(hidden.transpose(1, 2)).transpose(1, 2)


class Projection(nn.Sequential):
    """Hidden tokens to the features of the slots that are predicted."""

    def __init__(self, width: int, features: int, tokens: int, horizon: int):
        super().__init__(nn.Linear(width, features), OverTime(tokens, horizon))


def sine_positions(tokens: int, width: int) -> torch.Tensor:
    """(token, width): sines and cosines alternate, wavelengths from 2 pi to 10,000 x 2 pi."""
    position = torch.arange(tokens, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    positions = torch.zeros(tokens, width)
    positions[:, 0::2] = (position * rate).sin()
    positions[:, 1::2] = (position * rate).cos()[:, : width // 2]
    return positions
