"""Feedback by a Karhunen-Loeve transform: independent components, quantised with bits where they count.

Source: J. J. Y. Huang and P. M. Schultheiss, "Block Quantization of Correlated Gaussian Random Variables", IEEE
Transactions on Communications Systems 11(3), 1963. Components are the eigenvectors of the covariance of slots of the
training split. What a Gaussian channel of that covariance would need at least is known, too (reverse water-filling).
"""

import math

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.given import SNAPSHOTS, as_csi, require_finite
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


class Transform(nn.Module):
    """Variances of all components of slots of one size and of unit power, and the directions of the strongest.

    They are parameters without gradient. Fresh, it takes channels for white noise.
    """

    def __init__(self, size: int, components: int):
        super().__init__()
        kept = min(components, size)
        self.variances = nn.Parameter(torch.ones(size), requires_grad=False)
        # (entry, component, real and imaginary part)
        self.directions = nn.Parameter(
            torch.view_as_real(torch.eye(size, dtype=torch.complex64)[:, :kept].clone()), requires_grad=False
        )

    def take(self, covariance: torch.Tensor) -> None:
        """Take the components of a covariance, complex128 (entry, entry)."""
        values, vectors = torch.linalg.eigh(covariance)
        kept = self.directions.shape[1]
        self.variances.copy_(values.flip(0).clamp_min(0))
        self.directions.copy_(torch.view_as_real(vectors.flip(1)[:, :kept].to(torch.complex64)))

    def bound(self, bits: int) -> float:
        """Least NMSE of any code of so many bits, on Gaussians."""
        variances = self.variances.double().cpu().numpy()
        return reverse_water_filling(variances, bits) / float(variances.sum())

    def expected(self, bits: int) -> float:
        """NMSE of the quantisers of so many bits, on Gaussians."""
        variances = self.variances.double().cpu().numpy()
        numbers = self._numbers()
        spent = allocate(numbers, bits)
        errors = np.array([1.0 if count == 0 else lloyd_max(count)[2] for count in spent.tolist()])
        cut = variances[self.directions.shape[1] :].sum()
        return float(((numbers * errors).sum() + cut) / variances.sum())

    def encode(self, entries: torch.Tensor, bits: int) -> torch.Tensor:
        """Complex64 (sample, entry), of unit power, as uint8 (sample, bit)."""
        parts = torch.view_as_real(entries @ self._basis().conj()).flatten(1).double()
        parts = parts / self._deviations()
        spent = allocate(self._numbers(), bits)
        words = [
            to_bits(torch.bucketize(parts[:, number].contiguous(), torch.from_numpy(lloyd_max(count)[0])), count)
            for number, count in enumerate(spent.tolist())
            if count
        ]
        used = torch.cat(words, dim=1) if words else torch.zeros(len(entries), 0, dtype=torch.uint8)
        return nn.functional.pad(used, (0, bits - used.shape[1]))

    def decode(self, bits: torch.Tensor) -> torch.Tensor:
        """uint8 (sample, bit) as complex64 (sample, entry)."""
        numbers = self._numbers()
        parts = torch.zeros(len(bits), len(numbers), dtype=torch.float64)
        start = 0
        for number, count in enumerate(allocate(numbers, bits.shape[1]).tolist()):
            if count:
                steps = from_bits(bits[:, start : start + count])
                parts[:, number] = torch.from_numpy(lloyd_max(count)[1])[steps]
                start += count
        components = torch.view_as_complex((parts * self._deviations()).unflatten(1, (-1, 2)))
        return components.to(torch.complex64) @ self._basis().T

    def _basis(self) -> torch.Tensor:
        """Complex (entry, component)."""
        return torch.view_as_complex(self.directions.detach().cpu())

    def _numbers(self) -> np.ndarray:
        """Variances of the real numbers that are quantised: real and imaginary part of each kept component in turn."""
        kept = self.variances[: self.directions.shape[1]].double().cpu().numpy()
        return np.repeat(kept / 2, 2)

    def _deviations(self) -> torch.Tensor:
        return torch.from_numpy(self._numbers()).sqrt().clamp_min(torch.finfo(torch.float32).tiny)


class KarhunenLoeve(PreTrainedModel):
    """A transform for each size of channels."""

    config_class = KarhunenLoeveConfig
    main_input_name = "csi"

    def __init__(self, config: KarhunenLoeveConfig):
        super().__init__(config)
        self.options: Options = config.settings
        self.transforms = nn.ModuleList(
            Transform(rows * columns, self.options.components) for rows, columns in self.options.sizes
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """There are no weights to draw."""

    @torch.no_grad()
    def learn(self, dataset: TrainingData, seed: int) -> list[dict]:
        """Take the covariance of the slots of a training split, each scaled to unit power, in one pass.

        Returns:
            The history, one row: "loss" is the NMSE that the quantisers expect at 4 bits for 16 entries, mean over the
            sizes.

        Raises:
            InputError: no sample has one of the sizes.
        """
        sizes = [(rows, columns) for rows, columns in self.options.sizes]
        counts = dict.fromkeys(sizes, 0)
        sums = {size: torch.zeros(math.prod(size), math.prod(size), dtype=torch.complex128) for size in sizes}
        for csi in batches(dataset, seed):
            size = (csi.shape[2], csi.shape[3])
            slots = csi.flatten(0, 1)
            slots = (slots / rms_scale(slots)).flatten(1).to(torch.complex128)
            sums[size] += slots.T @ slots.conj()
            counts[size] += len(slots)
        errors = []
        for size in sizes:
            if not counts[size]:
                raise InputError(f"sizes has {size[0]} x {size[1]}, but no sample has so many antennas and subcarriers")
            transform = self.transform(size)
            transform.take(sums[size] / counts[size])
            errors.append(transform.expected(feedback_bits(HISTORY_RATE, *size)))
        return [{"epoch": 1, "loss": sum(errors) / len(errors)}]

    def bound(self, bits: int, shape: tuple[int, int]) -> float:
        """See `wavefoundry.networks.capabilities.GaussianBound`."""
        return self.transform(shape).bound(bits)

    @torch.inference_mode()
    def encode(self, csi: torch.Tensor, rate: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`; the result is on the CPU."""
        csi = as_csi(csi, SNAPSHOTS)
        transform = self.transform((csi.shape[1], csi.shape[2]))
        bits = feedback_bits(rate, *csi.shape[1:])
        require_finite(csi)
        csi = csi.cpu()
        return transform.encode((csi / rms_scale(csi)).flatten(1), bits)

    @torch.inference_mode()
    def decode(self, bits: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`."""
        return self.transform(shape).decode(bits.cpu()).unflatten(1, tuple(shape))

    def transform(self, shape: tuple[int, int]) -> Transform:
        """That of one size (antenna, subcarrier).

        Raises:
            InputError: there is none.
        """
        if reason := self.options.why_no_transform(*shape):
            raise InputError(reason)
        found = self.transforms[self.options.sizes.index(list(shape))]
        assert isinstance(found, Transform)
        return found


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
