"""A training split read once, for what is learnt without steps."""

from collections.abc import Iterator

import torch

from wavefoundry.training.session import TrainingData

BATCH_SIZE = 64  # samples that are read at once


def batches(dataset: TrainingData, seed: int) -> Iterator[torch.Tensor]:
    """Complex64 batches (batch, time, antenna, subcarrier) of a training split, every sample once."""
    sampler = dataset.batch_sampler(BATCH_SIZE, seed)
    sampler.set_epoch(0)
    for positions in sampler:
        yield dataset.__getitems__(positions)["csi"]
