"""Linear minimum mean square error prediction: covariances of the training split, and the best linear estimate.

Source: N. Wiener, "Extrapolation, Interpolation, and Smoothing of Stationary Time Series", MIT Press, 1949; for
channels O. Edfors et al., "OFDM Channel Estimation by Singular Value Decomposition", IEEE Transactions on
Communications 46(7), 1998.
"""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.covariances import lifted, toeplitz
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.lmmse import estimate
from wavefoundry.networks.lmmse.options import Options
from wavefoundry.training.one_pass import batches
from wavefoundry.training.session import Trained, TrainingData, TrainingSession


class LMMSEConfig(NetworkConfig):
    """config.json of an LMMSE predictor."""

    model_type = "lmmse"
    options_class = Options


class LMMSE(PreTrainedModel):
    """Powers of angle bins, and covariances of slots and of subcarriers, which are functions of distance alone.

    They are parameters without gradient, and predictions are computed by `estimate.LMMSE`.
    Fresh, it takes channels for white noise and predicts 0.
    """

    config_class = LMMSEConfig
    main_input_name = "csi"

    def __init__(self, config: LMMSEConfig):
        super().__init__(config)
        self.options: Options = config.settings
        pairs = self.options.angles if self.options.covariance == "per_bin" else 1
        self.power = nn.Parameter(torch.ones(self.options.angles), requires_grad=False)
        self.time = nn.Parameter(_white(pairs, self.options.slots), requires_grad=False)
        self.frequency = nn.Parameter(_white(pairs, self.options.subcarriers), requires_grad=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """There are no weights to draw."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters as `estimate.LMMSE` takes them."""
        values = {name: getattr(self, name).detach().cpu().float() for name in ("power", "time", "frequency")}
        covariances = {name: torch.view_as_complex(values[name]).numpy() for name in ("time", "frequency")}
        return {"power": values["power"].numpy()} | covariances

    @torch.no_grad()
    def learn(self, dataset: TrainingData, seed: int) -> list[dict]:
        """Take the covariances of a training split, in one pass.

        Every sample is scaled to unit power and counts the same, whatever its size. Covariances of a distance are
        means over all pairs of slots (subcarriers) that far apart; distances that only large samples have are learnt
        from these. A matrix of such means may have negative eigenvalues, which are set to 0.

        Returns:
            The history, one row: "loss" is the expected error of the last slot, given those before it with noise.

        Raises:
            InputError: no sample is as large as the options say.
        """
        sums = Sums(self.options)
        for csi in batches(dataset, seed):
            sums.add(csi)
        power, time, frequency = sums.covariances()
        self.power.copy_(power)
        self.time.copy_(torch.view_as_real(time))
        self.frequency.copy_(torch.view_as_real(frequency))
        return [{"epoch": 1, "loss": _error_of_last(time[0], 10 ** (-self.options.snr_db / 10))}]

    @torch.inference_mode()
    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.Predictor`; the result is on the CPU.

        Raises:
            InputError: as `checked` says, or more slots or subcarriers than covariances were learnt for.
        """
        try:
            predictor = estimate.LMMSE(self.options.snr_db, **self.arrays())
            return torch.from_numpy(predictor.predict(known.cpu().numpy(), slots, subcarriers))
        except ValueError as error:
            raise InputError(str(error)) from None


class Sums:
    """Products of entries of samples at every distance, added up by angle bin."""

    def __init__(self, options: Options):
        self._options = options
        # (angle bin, distance): of products, and of the power of the samples that have this distance.
        self._products = [
            torch.zeros(2, options.angles, size, dtype=torch.complex128)
            for size in (options.slots, options.subcarriers)
        ]
        self._power = torch.zeros(options.angles, dtype=torch.float64)
        self._count = torch.zeros(options.angles, dtype=torch.float64)

    def add(self, csi: torch.Tensor) -> None:
        """Add complex samples (batch, time, antenna, subcarrier)."""
        scaled = (csi / rms_scale(csi)).to(torch.complex128)
        angles = torch.fft.fft(scaled, dim=2, norm="ortho")
        bins = torch.from_numpy(estimate.nearest_bins(csi.shape[2], self._options.angles))
        power = angles.abs().square().mean(dim=(1, 3)).sum(0)
        self._power.index_add_(0, bins, power)
        self._count.index_add_(0, bins, torch.full_like(power, len(csi)))
        for sums, order in zip(self._products, ((0, 2, 3, 1), (0, 2, 1, 3)), strict=True):
            series = angles.permute(order)
            size, most = series.shape[-1], min(series.shape[-1], sums.shape[-1])
            # Zeros as many as the series is long keep the circular products of the transform apart.
            spectrum = torch.fft.fft(series, n=2 * size).abs().square().mean(dim=2).sum(0)
            products = torch.fft.ifft(spectrum)[:, :most] / torch.arange(size, size - most, -1)
            sums[0, :, :most].index_add_(0, bins, products)
            sums[1, :, :most].index_add_(0, bins, power[:, None].expand(-1, most).to(sums.dtype))

    def covariances(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean power (angle bin), and covariances (angle bin or 1, entry, entry) of slots and of subcarriers."""
        if not self._count.all():
            raise InputError(f"angles is {len(self._count)}, but no sample has so many antennas")
        power = self._power / self._count
        found = []
        for name, sums in zip(("slots", "subcarriers"), self._products, strict=True):
            if self._options.covariance == "kronecker":
                sums = sums.sum(dim=1, keepdim=True)
            largest = int((sums[1] != 0).any(dim=0).sum())
            if largest < sums.shape[-1]:
                raise InputError(f"{name} is {sums.shape[-1]}, but no sample has more than {largest}")
            lags = sums[0] / sums[1].real.clamp_min(torch.finfo(torch.float64).tiny)
            found.append(lifted(toeplitz(lags), 0.0))
        time, frequency = found
        return power / power.mean(), time, frequency


def _white(matrices: int, size: int) -> torch.Tensor:
    """Unit matrices (matrix, entry, entry, real and imaginary part)."""
    return torch.view_as_real(torch.eye(size, dtype=torch.complex64).repeat(matrices, 1, 1))


def _error_of_last(covariance: torch.Tensor, noise: float) -> float:
    """Expected error of the last entry of a process of unit power, given the noisy entries before it."""
    before = covariance[:-1, :-1] + noise * torch.eye(len(covariance) - 1)
    cross = covariance[:-1, -1]
    return float(1 - (cross.conj() @ torch.linalg.solve(before, cross)).real)


def build(options: Options, delay_fraction: float) -> LMMSE:
    """A predictor that has learnt nothing yet."""
    return LMMSE(LMMSEConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """One pass over the training split."""
    model = build(options, session.delay_fraction)
    history = model.learn(session.dataset, session.seed)
    if session.on_epoch:
        session.on_epoch(history[0], 1)
    return Trained(model.eval(), history)


NETWORKS = (LMMSE,)
