"""A small LMMSE predictor, and data sets in memory."""

from collections.abc import Iterator

import torch

from wavefoundry.networks.lmmse.model import LMMSE, build
from wavefoundry.networks.lmmse.options import Options

SMALL = Options(covariance="kronecker", angles=2, slots=8, subcarriers=16, snr_db=20.0)


def options(**changes) -> Options:
    """Options with some values replaced."""
    return SMALL.changed(changes)


def lmmse(seed: int = 0, **changes) -> LMMSE:
    """A predictor that has learnt smooth channels."""
    chosen = options(**changes)
    model = build(chosen, 1.0)
    model.learn(InMemory([smooth(16, chosen.slots, 4, chosen.subcarriers, seed)]), seed)
    return model.eval()


def smooth(samples: int, slots: int, antennas: int, subcarriers: int, seed: int = 0) -> torch.Tensor:
    """Complex64 (sample, time, antenna, subcarrier) of three random paths each."""
    generator = torch.Generator().manual_seed(seed)
    doppler, angle, delay, phase = torch.rand(4, samples, 3, 1, 1, 1, generator=generator)
    turns = (
        0.2 * (doppler - 0.5) * torch.arange(slots)[:, None, None]
        + angle * torch.arange(antennas)[:, None]
        - 0.2 * delay * torch.arange(subcarriers)
        + phase
    )
    return torch.polar(torch.ones(turns.shape), 2 * torch.pi * turns).sum(1)


class InMemory:
    """Batches of tensors (sample, time, antenna, subcarrier) of several sizes, as a training reads them."""

    def __init__(self, parts: list[torch.Tensor]):
        self._parts = parts
        self._places = [(part, row) for part, csi in enumerate(parts) for row in range(len(csi))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        part, row = self._places[index]
        return {"csi": self._parts[part][row]}

    def __getitems__(self, positions: list[int]) -> dict[str, torch.Tensor]:
        return {"csi": torch.stack([self[position]["csi"] for position in positions])}

    def batch_sampler(self, batch_size: int, seed: int) -> "Batches":
        return Batches([len(part) for part in self._parts], batch_size)


class Batches:
    """Batches in order, each of one size of sample."""

    def __init__(self, sizes: list[int], batch_size: int):
        self._sizes, self._batch_size = sizes, batch_size

    def __len__(self) -> int:
        return sum(-(-size // self._batch_size) for size in self._sizes)

    def set_epoch(self, epoch: int) -> None:
        pass

    def __iter__(self) -> Iterator[list[int]]:
        first = 0
        for size in self._sizes:
            for batch in torch.arange(first, first + size).split(self._batch_size):
                yield batch.tolist()
            first += size
