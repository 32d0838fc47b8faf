"""Feedback by a Karhunen-Loeve transform: independent components, quantised with bits where they count.

Source: J. J. Y. Huang and P. M. Schultheiss, "Block Quantization of Correlated Gaussian Random Variables", IEEE
Transactions on Communications Systems 11(3), 1963. Components are the eigenvectors of the covariance of slots of the
training split. What a Gaussian channel of that covariance would need at least is known, too (reverse water-filling).
"""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.errors import InputError
from wavefoundry.feedback.bits import from_bits, to_bits
from wavefoundry.feedback.rates import feedback_bits
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.karhunen_loeve.allocation import allocate, lloyd_max, reverse_water_filling
from wavefoundry.networks.karhunen_loeve.options import Options
from wavefoundry.training.one_pass import batches
from wavefoundry.training.session import Trained, TrainingData, TrainingSession

HISTORY_RATE = 4  # of the error that the history tells


class KarhunenLoeveConfig(NetworkConfig):
    """config.json of a Karhunen-Loeve codec."""

    model_type = "karhunen_loeve"
    options_class = Options


class KarhunenLoeve(PreTrainedModel):
    """Variances of all components of slots of unit power, and the directions of the strongest.

    They are parameters without gradient. Fresh, it takes channels for white noise.
    """

    config_class = KarhunenLoeveConfig
    main_input_name = "csi"

    def __init__(self, config: KarhunenLoeveConfig):
        super().__init__(config)
        self.options: Options = config.settings
        size = self.options.antennas * self.options.subcarriers
        kept = min(self.options.components, size)
        self.variances = nn.Parameter(torch.ones(size), requires_grad=False)
        # (entry, component, real and imaginary part)
        self.directions = nn.Parameter(
            torch.view_as_real(torch.eye(size, dtype=torch.complex64)[:, :kept].clone()), requires_grad=False
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """There are no weights to draw."""

    @torch.no_grad()
    def learn(self, dataset: TrainingData, seed: int) -> list[dict]:
        """Take the covariance of the slots of a training split, each scaled to unit power, in one pass.

        Returns:
            The history, one row: "loss" is the NMSE that the quantisers expect at 4 bits for 16 entries.
        """
        size = len(self.variances)
        covariance, count = torch.zeros(size, size, dtype=torch.complex128), 0
        for csi in batches(dataset, seed):
            slots = csi.flatten(0, 1)
            slots = (slots / rms_scale(slots)).flatten(1).to(torch.complex128)
            covariance += slots.T @ slots.conj()
            count += len(slots)
        values, vectors = torch.linalg.eigh(covariance / count)
        kept = self.directions.shape[1]
        self.variances.copy_(values.flip(0).clamp_min(0))
        self.directions.copy_(torch.view_as_real(vectors.flip(1)[:, :kept].to(torch.complex64)))
        return [{"epoch": 1, "loss": self.expected(feedback_bits(HISTORY_RATE, *self._shape))}]

    def bound(self, bits: int) -> float:
        """See `wavefoundry.networks.capabilities.GaussianBound`."""
        variances = self.variances.double().cpu().numpy()
        return reverse_water_filling(variances, bits) / float(variances.sum())

    def expected(self, bits: int) -> float:
        """The NMSE that a Gaussian channel of the learnt covariance would have, fed back by these quantisers."""
        variances = self.variances.double().cpu().numpy()
        numbers = self._numbers()
        spent = allocate(numbers, bits)
        errors = np.array([1.0 if count == 0 else lloyd_max(count)[2] for count in spent.tolist()])
        cut = variances[self.directions.shape[1] :].sum()
        return float(((numbers * errors).sum() + cut) / variances.sum())

    @torch.inference_mode()
    def encode(self, csi: torch.Tensor, rate: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`; the result is on the CPU."""
        self._require(csi.shape[1:])
        bits = feedback_bits(rate, *csi.shape[1:])
        if not csi.isfinite().all():
            raise InputError("the channel has values that are not finite")
        csi = csi.cpu()
        entries = (csi / rms_scale(csi)).flatten(1).to(torch.complex64)
        parts = torch.view_as_real(entries @ self._basis().conj()).flatten(1).double()
        parts = parts / self._deviations()
        spent = allocate(self._numbers(), bits)
        words = [
            to_bits(torch.bucketize(parts[:, number].contiguous(), torch.from_numpy(lloyd_max(count)[0])), count)
            for number, count in enumerate(spent.tolist())
            if count
        ]
        used = torch.cat(words, dim=1) if words else torch.zeros(len(csi), 0, dtype=torch.uint8)
        return nn.functional.pad(used, (0, bits - used.shape[1]))

    @torch.inference_mode()
    def decode(self, bits: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`."""
        self._require(shape)
        numbers = self._numbers()
        parts = torch.zeros(len(bits), len(numbers), dtype=torch.float64)
        start = 0
        for number, count in enumerate(allocate(numbers, bits.shape[1]).tolist()):
            if count:
                steps = from_bits(bits[:, start : start + count].cpu())
                parts[:, number] = torch.from_numpy(lloyd_max(count)[1])[steps]
                start += count
        components = torch.view_as_complex((parts * self._deviations()).unflatten(1, (-1, 2)))
        return (components.to(torch.complex64) @ self._basis().T).unflatten(1, tuple(shape))

    @property
    def _shape(self) -> tuple[int, int]:
        return self.options.antennas, self.options.subcarriers

    def _require(self, shape: tuple[int, int] | torch.Size) -> None:
        if tuple(shape) != self._shape:
            found, known = (" x ".join(map(str, size)) for size in (shape, self._shape))
            raise InputError(f"a channel of {found} entries; the transform is one of {known}")

    def _basis(self) -> torch.Tensor:
        """Complex (entry, component)."""
        return torch.view_as_complex(self.directions.detach().cpu())

    def _numbers(self) -> np.ndarray:
        """Variances of the real numbers that are quantised: real and imaginary part of each kept component in turn."""
        kept = self.variances[: self.directions.shape[1]].double().cpu().numpy()
        return np.repeat(kept / 2, 2)

    def _deviations(self) -> torch.Tensor:
        return torch.from_numpy(self._numbers()).sqrt().clamp_min(torch.finfo(torch.float32).tiny)


def build(options: Options, delay_fraction: float) -> KarhunenLoeve:
    """A codec that has learnt nothing yet."""
    return KarhunenLoeve(KarhunenLoeveConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """One pass over the training split."""
    model = build(options, session.delay_fraction)
    history = model.learn(session.dataset, session.seed)
    if session.on_epoch:
        session.on_epoch(history[0], 1)
    return Trained(model.eval(), history)


NETWORKS = (KarhunenLoeve,)
