"""What a family's training is handed, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainingSession:
    """One training of one seed.

    dataset: the training split of all that is learnt from, as `wavefoundry.training.trainer.train` takes it; items are
        CSI or angle-delay maps, whichever the family reads.
    delay_fraction: share of the delay bins that the angle-delay maps of the study keep.
    seed: of batches and draws; torch is seeded with it already, so that initial weights are drawn.
    checkpoints: folder of this training alone.
    on_epoch: called with each row of the history and the number of steps taken.
    take_champion: loads the weights of the registry's champion of this entry into a network.
    """

    dataset: Dataset
    delay_fraction: float
    seed: int
    checkpoints: Path
    on_epoch: Callable[[dict, int], None] | None
    take_champion: Callable[[nn.Module], None]


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
