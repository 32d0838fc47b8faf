"""Heads trained together with the last layers of their network, or in the same way without: one recipe for both.

Both sides have the same labels, initial weights of the head, scale of its inputs, batches, optimiser, schedule and
number of steps. Layers that do not learn are always as in an evaluation, without dropout.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from wavefoundry.evaluation.downstream.classification import ClassificationTask
from wavefoundry.evaluation.downstream.examples import SCORED, SplitStatistics
from wavefoundry.evaluation.downstream.heads import Scaling
from wavefoundry.evaluation.downstream.inputs import BATCH
from wavefoundry.evaluation.downstream.options import LastLayers
from wavefoundry.evaluation.downstream.samples import labelled_subset
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.networks.capabilities import Tunable
from wavefoundry.training.few_shot import OneShapeBatches
from wavefoundry.training.trainer import train


class TunedClassifier(nn.Module):
    """A network of which the last layers may learn, and a perceptron on the mean of its patches and the strength.

    The perceptron reads them as heads on frozen representations do: without their mean, of unit mean variance over the
    labelled snapshots as the network gives them before it learns.

    Args:
        backbone: the network, a module; changed in place.
        patch_size: its granularity; None of a network that has no choice.
        layers: how many of its last layers learn, from 0.
        hidden: widths of the perceptron.
        classes: number of classes.
        sees_strength: whether the perceptron sees the logarithm of the received strength.
        csi: the labelled snapshots, complex (sample, antenna, subcarrier).
    """

    centre: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        backbone: Tunable,
        patch_size: int | None,
        layers: int,
        hidden: Sequence[int],
        classes: int,
        sees_strength: bool,
        csi: torch.Tensor,
    ):
        super().__init__()
        assert isinstance(backbone, nn.Module)
        self.backbone = backbone.requires_grad_(False)
        self.patch_size = patch_size
        self.sees_strength = sees_strength
        self._learning = list(backbone.layers)[len(backbone.layers) - layers :]
        with torch.no_grad():
            seen = zip(*(self._features(some) for some in csi.split(BATCH)), strict=True)
            scalings = [Scaling.of(torch.cat(parts).numpy()) for parts in seen]
        self.register_buffer("centre", torch.cat([torch.from_numpy(one.mean) for one in scalings]))
        self.register_buffer("deviation", torch.cat([torch.full((len(one.mean),), one.deviation) for one in scalings]))
        widths = [len(self.centre), *hidden]
        steps = zip(widths, hidden, strict=False)
        inner = [part for before, after in steps for part in (nn.Linear(before, after), nn.ReLU())]
        self.head = nn.Sequential(*inner, nn.Linear(widths[-1], classes))
        for layer in self._learning:
            layer.requires_grad_(True)

    def train(self, mode: bool = True) -> "TunedClassifier":
        """Only what learns is set to training: what the other layers give has no dropout."""
        super().train(mode)
        self.backbone.eval()
        for layer in self._learning:
            layer.train(mode)
        return self

    def no_weight_decay(self) -> set[str]:
        """Weights of the network that decay must not touch."""
        exempt: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in exempt}

    def forward(
        self, csi: torch.Tensor, label: torch.Tensor, generator: torch.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """{"loss": cross entropy} of snapshots (batch, antenna, subcarrier) and their classes (batch,)."""
        return {"loss": nn.functional.cross_entropy(self.logits(csi), label)}

    def logits(self, csi: torch.Tensor) -> torch.Tensor:
        """(batch, class)."""
        return self.head((torch.cat(self._features(csi), dim=1) - self.centre) / self.deviation)

    def _features(self, csi: torch.Tensor) -> list[torch.Tensor]:
        """(batch, width) of the network, and (batch, 1) of the strength where it is seen."""
        seen = self.backbone.embed(csi, self.patch_size)
        return [seen.mean, seen.scale.log10()[:, None]] if self.sees_strength else [seen.mean]


class Labelled(Dataset):
    """Snapshots with a class each, for `wavefoundry.training.trainer.train`."""

    def __init__(self, csi: torch.Tensor, labels: torch.Tensor):
        self._csi, self._labels = csi, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, positions: list[int]) -> dict[str, torch.Tensor]:
        return {"csi": self._csi[positions], "label": self._labels[positions]}

    def batch_sampler(self, batch_size: int, seed: int) -> OneShapeBatches:
        return OneShapeBatches([list(range(len(self)))], batch_size, seed)


def tune(
    task: ClassificationTask,
    backbone: Tunable,
    patch_size: int | None,
    layers: int,
    snapshots: Snapshots,
    section: LastLayers,
    seed: int,
    checkpoints: Path,
) -> SplitStatistics:
    """Train a head, and last layers with it, on a fraction of the labels; statistics on "validation" and "test".

    Args:
        task: one whose options are tunable.
        backbone: a network in evaluation mode; changed in place.
        patch_size: its granularity; None of a network that has no choice.
        layers: how many of its last layers learn; 0: the head alone.
        snapshots: channels and labels.
        section: the fraction of the labels and the training.
        seed: of the labels drawn, the initial head and the training.
        checkpoints: folder for this training alone.
    """
    labels = task.labels(snapshots)
    labelled = labelled_subset(snapshots.rows["train"], section.fraction, seed)
    # The sorted classes that the training labels show; no head can find another one.
    classes, seen_labels = np.unique(labels[labelled], return_inverse=True)
    csi = snapshots.csi[labelled]
    torch.manual_seed(seed)
    model = TunedClassifier(backbone, patch_size, layers, task.options.hidden, len(classes), task.sees_strength, csi)
    dataset = Labelled(csi, torch.from_numpy(seen_labels))
    train(model, dataset, config=section.training, seed=seed, checkpoints=checkpoints)
    statistics = {}
    for split in SCORED:
        rows = snapshots.rows[split]
        with torch.no_grad():
            logits = torch.cat([model.logits(part) for part in snapshots.csi[rows].split(BATCH)])
        ranked = classes[logits.argsort(dim=1, descending=True, stable=True)[:, : task.named].numpy()]
        statistics[split] = task.statistics(ranked, labels[rows])
    return statistics
