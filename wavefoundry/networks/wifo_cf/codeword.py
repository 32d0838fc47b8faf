"""From the tokens of an encoder to the values of a codeword, and back: the tokens as an image of one channel.

Source: the released code of WiFo-CF (arXiv:2508.04068). It normalises over the batch, and a last time right before the
sigmoid, where running statistics decide about the range of the codeword. Choice: every sample is normalised by itself,
and not before the last sigmoid nor after the last convolution. Columns of the image have no order in which neighbours
mean anything, and convolutions learn slowly what to do with them: a linear shortcut beside them, one value of the
codeword for each token, learns several times as fast (`shortcut`; ours).
"""

import torch
from torch import nn
from torch.nn import functional as F

from wavefoundry.networks.wifo_cf.options import HALVINGS

WIDTH = 64  # columns of the image, whatever the width of the tokens: 64 / 8 / 8 values of the codeword for each token


class Compressor(nn.Module):
    """(sample, 1, token, WIDTH) -> (sample, 1, token / 8, WIDTH / 8), of any size of values."""

    def __init__(self, channels: int, shortcut: bool):
        super().__init__()
        layers: list[nn.Module] = _convolution(1, channels)
        for _ in range(HALVINGS - 1):
            layers += [Halving(channels), *_convolution(channels, channels)]
        self.layers = nn.Sequential(*layers, Halving(channels))
        self.last = nn.Conv2d(channels, 1, 5, padding=2)
        self.shortcut = nn.Linear(WIDTH, 1, bias=False) if shortcut else None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.last(self.layers(image))
        # Value by value in the order of the tokens.
        return found if self.shortcut is None else found + self.shortcut(image).view(found.shape)


class Expander(nn.Module):
    """(sample, 1, token / 8, WIDTH / 8) -> (sample, 1, token, WIDTH)."""

    def __init__(self, channels: int, shortcut: bool):
        super().__init__()
        layers: list[nn.Module] = _convolution(1, channels)
        for _ in range(HALVINGS - 1):
            layers += [Doubling(channels), *_convolution(channels, channels)]
        self.layers = nn.Sequential(*layers, Doubling(channels))
        self.last = nn.Conv2d(channels, 1, 5, padding=2)
        self.shortcut = nn.Linear(1, WIDTH, bias=False) if shortcut else None

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        found = self.last(self.layers(code))
        return found if self.shortcut is None else found + self.shortcut(code.view(*found.shape[:3], 1))


class Halving(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.convolution(F.pad(image, (0, 1, 0, 1)))


class Doubling(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.convolution(F.interpolate(image, scale_factor=2.0, mode="nearest"))


def _convolution(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 5, padding=2), nn.GroupNorm(1, after), nn.ReLU()]
