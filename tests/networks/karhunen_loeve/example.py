"""A small Karhunen-Loeve codec."""

import torch

from tests.networks.lmmse.example import InMemory, smooth
from wavefoundry.networks.karhunen_loeve.model import KarhunenLoeve, build
from wavefoundry.networks.karhunen_loeve.options import Options

SMALL = Options(sizes=[[4, 16]], components=64)


def options(**changes) -> Options:
    """Options with some values replaced."""
    return SMALL.changed(changes)


def karhunen_loeve(csi: torch.Tensor | None = None, **changes) -> KarhunenLoeve:
    """A codec that has learnt channels (sample, time, antenna, subcarrier), smooth ones unless they are given."""
    chosen = options(**changes)
    model = build(chosen, 1.0)
    model.learn(InMemory([smooth(200, 2, *chosen.sizes[0]) if csi is None else csi]), 0)
    return model.eval()
