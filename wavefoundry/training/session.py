"""What a family's training is handed, and what it gives back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from wavefoundry.language_models.language_model import LanguageModel


class BatchSampler(Protocol):
    """Positions of the items of each batch of an epoch."""

    def __iter__(self) -> Iterator[list[int]]: ...

    def set_epoch(self, epoch: int) -> None: ...


class TrainingData(Protocol):
    """A map-style data set that is read batch by batch; a sub-class of `torch.utils.data.Dataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, torch.Tensor]: ...

    def __getitems__(self, positions: list[int], /) -> dict[str, torch.Tensor]:
        """A whole batch."""

    def batch_sampler(self, batch_size: int, seed: int) -> BatchSampler: ...


@dataclass(frozen=True)
class TrainingSession:
    """One training of one seed.

    dataset: the training split of all that is learnt from, as `wavefoundry.training.trainer.train` takes it; items are
        CSI or angle-delay maps, whichever the family reads.
    validation: gives the validation split of the same data sets; no network learns from it.
    delay_fraction: share of the delay bins that the angle-delay maps of the study keep.
    seed: of batches and draws; torch is seeded with it already, so that initial weights are drawn.
    checkpoints: folder of this training alone.
    on_epoch: called with each row of the history and the number of steps taken.
    take_champion: loads the weights of the registry's champion of this entry into a network.
    language_model: loads one of those that the options name (`FamilyOptions.language_models`).
    """

    dataset: TrainingData
    validation: Callable[[], TrainingData]
    delay_fraction: float
    seed: int
    checkpoints: Path
    on_epoch: Callable[[dict, int], None] | None
    take_champion: Callable[[nn.Module], None]
    language_model: Callable[[str], "LanguageModel"]


@dataclass(frozen=True)
class Trained:
    """What a training ends in.

    model: the network that is evaluated and registered.
    history: one row per epoch.
    backbone: the pretrained network before its fine-tuning, whose representations are probed; None: `model` itself.
    """

    model: PreTrainedModel
    history: list[dict] = field(repr=False)
    backbone: PreTrainedModel | None = None
