"""Heads trained together with the last layers of their network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from wavefoundry.evaluation.downstream.classification import ClassificationTask
from wavefoundry.evaluation.downstream.examples import SCORED, SplitStatistics
from wavefoundry.evaluation.downstream.inputs import BATCH
from wavefoundry.evaluation.downstream.options import LastLayers
from wavefoundry.evaluation.downstream.samples import labelled_subset
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.networks.capabilities import Tunable
from wavefoundry.training.few_shot import OneShapeBatches
from wavefoundry.training.trainer import train


class TunedClassifier(nn.Module):
    """A network of which the last layers learn, and a perceptron on the mean of its patches and the strength.

    Args:
        backbone: the network, a module; changed in place.
        patch_size: its granularity; None of a network that has no choice.
        layers: how many of its last layers learn.
        width: of its representations.
        hidden: widths of the perceptron.
        classes: number of classes.
        strength: mean and deviation of the logarithm of the received strength, or None if the head does not see it.
    """

    def __init__(
        self,
        backbone: Tunable,
        patch_size: int | None,
        layers: int,
        width: int,
        hidden: Sequence[int],
        classes: int,
        strength: tuple[float, float] | None,
    ):
        super().__init__()
        assert isinstance(backbone, nn.Module)
        self.backbone = backbone.requires_grad_(False)
        self.backbone.layers[-layers:].requires_grad_(True)
        self.patch_size = patch_size
        self.strength = strength
        widths = [width + (strength is not None), *hidden]
        steps = zip(widths, hidden, strict=False)
        parts = [part for before, after in steps for part in (nn.Linear(before, after), nn.ReLU())]
        self.head = nn.Sequential(*parts, nn.Linear(widths[-1], classes))

    def forward(
        self, csi: torch.Tensor, label: torch.Tensor, generator: torch.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """{"loss": cross entropy} of snapshots (batch, antenna, subcarrier) and their classes (batch,)."""
        return {"loss": nn.functional.cross_entropy(self.logits(csi), label)}

    def logits(self, csi: torch.Tensor) -> torch.Tensor:
        """(batch, class)."""
        seen = self.backbone.embed(csi, self.patch_size)
        features = seen.mean
        if self.strength is not None:
            mean, deviation = self.strength
            features = torch.cat([features, (seen.scale.log10()[:, None] - mean) / deviation], dim=1)
        return self.head(features)


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
    snapshots: Snapshots,
    section: LastLayers,
    seed: int,
    checkpoints: Path,
) -> SplitStatistics:
    """Train head and last layers on a fraction of the labels; statistics on "validation" and "test".

    Args:
        task: one whose options are tunable.
        backbone: a network; changed in place.
        patch_size: its granularity; None of a network that has no choice.
        snapshots: channels and labels.
        section: parameters.
        seed: of the labels drawn, the initial head and the training.
        checkpoints: folder for this training alone.
    """
    labels = task.labels(snapshots)
    labelled = labelled_subset(snapshots.rows["train"], section.fraction, seed)
    # The sorted classes that the training labels show; no head can find another one.
    classes, seen_labels = np.unique(labels[labelled], return_inverse=True)
    csi = snapshots.csi[labelled]
    with torch.no_grad():
        width = backbone.embed(csi[:1], patch_size).mean.shape[1]
    torch.manual_seed(seed)
    strength = None
    if task.sees_strength:
        values = csi.abs().square().mean(dim=(1, 2)).sqrt().log10()
        strength = (values.mean().item(), values.std(correction=0).item() or 1.0)
    model = TunedClassifier(backbone, patch_size, section.layers, width, task.options.hidden, len(classes), strength)
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
