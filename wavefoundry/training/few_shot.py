"""Few-shot fine-tuning: a handful of samples of a data set, the same ones for a seed."""

from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, Sampler

from wavefoundry.errors import InputError
from wavefoundry.training.session import TrainingData


class FewShot(Dataset):
    """`samples` items of `dataset`, drawn once without replacement and held in memory.

    Args:
        dataset: items are dicts of tensors, of any shapes.
        samples: how many.
        seed: of the draw; the samples of a seed are the first ones of a larger draw with the same seed.

    Raises:
        InputError: more samples than the data set has.
    """

    def __init__(self, dataset: TrainingData, samples: int, seed: int):
        if samples > len(dataset):
            raise InputError(f"few_shot is {samples}, but there are {len(dataset)} samples to learn from")
        drawn = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))[:samples]
        self.indices = drawn.tolist()
        self._items = [dataset[index] for index in self.indices]

    def __len__(self) -> int:
        return len(self._items)

    def __getitems__(self, positions: list[int]) -> dict[str, torch.Tensor]:
        items = [self._items[position] for position in positions]
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def batch_sampler(self, batch_size: int, seed: int) -> "OneShapeBatches":
        shapes: dict[tuple, list[int]] = {}
        for position, item in enumerate(self._items):
            shapes.setdefault(tuple(tuple(part.shape) for part in item.values()), []).append(position)
        return OneShapeBatches(list(shapes.values()), batch_size, seed)


class OneShapeBatches(Sampler):
    """Every position once per epoch, in shuffled batches within groups; a function of (seed, epoch) alone."""

    def __init__(self, groups: list[list[int]], batch_size: int, seed: int):
        self._groups = groups
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return sum(-(-len(group) // self._batch_size) for group in self._groups)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self._seed)
        for _ in range(self._epoch + 1):
            # Drawn again for each epoch before: neighbouring seeds would be alike in neighbouring epochs otherwise.
            seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator().manual_seed(seed)
        batches = []
        for group in self._groups:
            shuffled = torch.tensor(group)[torch.randperm(len(group), generator=generator)]
            batches += [batch.tolist() for batch in shuffled.split(self._batch_size)]
        yield from (batches[position] for position in torch.randperm(len(batches), generator=generator).tolist())
