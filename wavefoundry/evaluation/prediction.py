"""Channel prediction: the interface of every predictor, and its score on CSI with a noisy known part."""

from dataclasses import dataclass
from typing import Protocol

import torch

from wavefoundry.csi.noise import add_noise
from wavefoundry.evaluation.metrics import nmse

AXES = ("time", "frequency")


class Predictor(Protocol):
    """A trained model or a classical method."""

    def predict(self, known: torch.Tensor, axis: str, horizon: int) -> torch.Tensor:
        """Continue CSI.

        Args:
            known: complex64 (batch, time, antenna, subcarrier), the known slots or the known subcarriers.
            axis: "time" for the next slots, "frequency" for the next subcarriers.
            horizon: number of slots or subcarriers to predict.

        Returns:
            complex64 (batch, horizon, antenna, subcarrier) or (batch, time, antenna, horizon).
        """


@dataclass(frozen=True)
class Task:
    """Predict along `axis` from the first `known_fraction` of it, seen at `snr_db`; the noise is drawn from `seed`."""

    axis: str
    known_fraction: float
    snr_db: float
    seed: int

    def split(self, csi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy known part and clean target of CSI (sample, time, antenna, subcarrier)."""
        dimension = 1 if self.axis == "time" else 3
        size = round(csi.shape[dimension] * self.known_fraction)
        known, target = csi.tensor_split([size], dim=dimension)
        return add_noise(known, self.snr_db, torch.Generator().manual_seed(self.seed)), target


def predict_in_batches(
    predictor: Predictor, known: torch.Tensor, axis: str, horizon: int, batch_size: int
) -> torch.Tensor:
    """Predictions for all samples of `known`, `batch_size` at a time."""
    return torch.cat([predictor.predict(part, axis, horizon) for part in known.split(batch_size)])


def score(predictor: Predictor, csi: torch.Tensor, task: Task, batch_size: int) -> torch.Tensor:
    """NMSE of each sample.

    Args:
        predictor: what is judged.
        csi: complex64 (sample, time, antenna, subcarrier), without noise.
        task: what is known and what is asked.
        batch_size: samples per call of the predictor.

    Returns:
        float64 (sample,), a power ratio.
    """
    known, target = task.split(csi)
    horizon = target.shape[1] if task.axis == "time" else target.shape[3]
    return nmse(predict_in_batches(predictor, known, task.axis, horizon, batch_size), target)
