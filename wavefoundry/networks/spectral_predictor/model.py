"""A spectral predictor: a small network estimates the spectrum of every bin, linear prediction does the rest.

It is our own, published nowhere else. Its parts are not: the lattice is Burg's (see
wavefoundry/predictors/autoregression.py), the prediction is the linear minimum mean square error (Wiener) prediction of
a stationary series in white noise.

CSI is taken to bins: to continue time, the series of an angle-delay bin along slots; to continue frequency, the series
of an angle-Doppler bin along subcarriers. A bin holds few paths, each of which turns steadily: its series is a sum of
few lines, and so its spectrum says how it goes on. For each of the strongest bins of a sample

1. Burg's lattice, with its sums pooled over the 3 x 3 bins around, gives two autoregressions and their predictions;
2. the network reads what does not change when a bin is scaled or turned (periodograms of the bin, of those around it
   and of the sample, the spectrum of the autoregression, relative powers) and answers with a spectrum on a grid of
   frequencies, a noise level, and a preference for each of the three predictions that changes along the horizon;
3. the spectrum and the noise give covariances, these the linear prediction from all that is known of the series;
4. the answer is the mean of the three predictions, weighted by the preferences;
5. of the same features the network says how large the error of the bin is to be expected, step by step of the horizon.
   It learns this beside the prediction, which does not change for it. A factor for each kind of question, found on
   the validation split at the end of the training, makes it right in the mean (calibration.py).

All of it is linear in the series but for weights that a complex factor does not change: the prediction is equivariant
to it by construction, and silence is continued by silence. Nothing depends on the number of known entries, of bins or
of entries that are asked for. The weaker bins, which hold mostly noise, are continued by the autoregression alone.
Slots that are lost are put in before (lost_slots.py), with which training has nothing to do.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from wavefoundry.csi.augmentation import random_symmetry
from wavefoundry.csi.bins import AXES, from_bins, pooled, power, to_bins
from wavefoundry.csi.linear_prediction import extrapolate, lattice
from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.spectral_predictor.calibration import KINDS, error_factors, kind_of
from wavefoundry.networks.spectral_predictor.chosen_bins import others_than, pick, strongest
from wavefoundry.networks.spectral_predictor.lost_slots import with_lost_slots
from wavefoundry.networks.spectral_predictor.options import FEWEST_KNOWN, Architecture, Options
from wavefoundry.networks.spectral_predictor.wiener import wiener
from wavefoundry.training.one_pass import batches
from wavefoundry.training.session import Trained, TrainingSession
from wavefoundry.training.trainer import train as train_network

# Predictions of a bin that are weighed: by the spectrum, and by the autoregressions of two orders.
PREDICTIONS = 3
# Scalars that the network reads of a bin besides its spectra.
SCALARS = 9
# Logarithms of powers are read in these units, so that the features are of the order of 1.
LOG_UNIT = 0.3
# Least relative powers, below which features do not tell silence from less.
QUIET, QUIET_LINE = 1e-6, 1e-4
# How much faster the spectrum and the noise change than the last layer.
GAIN = 2.0
# Start of training: logarithm of the relative noise, and preferences of the three predictions.
NOISE_START = -6.0
PREFERENCE_START = (0.0, 1.0, -1.0)
# The logarithm of a relative error is a sum of three terms: 1, how far ahead, and the logarithm of that; about 0 in the
# mean over a horizon as long as what is known. Start of training for the bins that the network is asked about, and for
# all others together.
ERROR_TERMS = 3
ERROR_START = (-2.0, 1.0, 1.0)
OTHERS_ERROR_START = (0.0, 0.0, 0.0)
# How much faster these terms change than the last layer.
ERROR_GAIN = 5.0
# Logarithms of relative errors are kept between these: a prediction is cut at 3 times the magnitude of what is known.
LEAST_ERROR, LARGEST_ERROR = -16.0, 3.0
# How far ahead is told in lengths of the known block, up to this.
FARTHEST = 2.0


class SpectralPredictorConfig(NetworkConfig):
    """config.json of a spectral predictor."""

    model_type = "spectral_predictor"
    options_class = Options


@dataclass(frozen=True)
class Bins:
    """Series of bins and their autoregressions.

    series: complex (batch, row, column, step).
    filters, residual: see `lattice`.
    """

    series: torch.Tensor
    filters: list[torch.Tensor]
    residual: torch.Tensor


@dataclass(frozen=True)
class Continuation:
    """What follows the series of some bins.

    values, by_spectrum: the answer, and what the spectrum alone says; complex (batch, bin, step).
    expected_error: square error that is to be expected of `values`; real (batch, bin, step).
    """

    values: torch.Tensor
    by_spectrum: torch.Tensor
    expected_error: torch.Tensor


class Estimator(nn.Module):
    """The network of one axis: of the features of bins (spectrum, noise, preferences, error), all as logarithms."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        lines, size = architecture.frequencies, architecture.hidden_size
        self.width = lines + 3 * (lines // 2) + SCALARS
        self.norm = nn.LayerNorm(self.width)
        self.embedding = nn.Linear(self.width, size)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(architecture.depth - 1))
        self.head_norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, lines + 1 + 2 * PREDICTIONS)
        # Of the spectrum of the autoregression and of the three periodograms in the estimate.
        self.mixture = nn.Parameter(torch.empty(4))
        # Of the error of a bin, and of that of all bins together that the network is not asked about.
        self.error = nn.Parameter(torch.empty(ERROR_TERMS, size + 1))
        self.others_error = nn.Parameter(torch.empty(ERROR_TERMS))
        self.lines = lines

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """real (bin, feature) -> (bin, lines + 1 + 2 x predictions + terms of the error)."""
        hidden = F.silu(self.embedding(self.norm(features)))
        for layer in self.layers:
            hidden = hidden + F.silu(layer(hidden))
        hidden = self.head_norm(hidden)
        found = self.head(hidden).float()
        error = ERROR_GAIN * F.linear(hidden.detach(), self.error[:, :-1], self.error[:, -1]).float()
        seen = features[:, :-SCALARS]
        autoregression, periodograms = seen[:, : self.lines], seen[:, self.lines :].unflatten(1, (3, -1))
        mixed = (periodograms * self.mixture[1:, None]).sum(1).repeat_interleave(2, dim=1)
        spectrum = GAIN * found[:, : self.lines] + self.mixture[0] * autoregression + mixed
        return torch.cat([spectrum, GAIN * found[:, self.lines, None], found[:, self.lines + 1 :], error], dim=1)


class SpectralPredictor(PreTrainedModel):
    """Two estimators, one for each axis, and the linear prediction around them; any array, band, past and horizon."""

    config_class = SpectralPredictorConfig
    main_input_name = "csi"
    error_factors: torch.Tensor

    def __init__(self, config: SpectralPredictorConfig):
        super().__init__(config)
        self.options: Options = config.settings
        self.architecture = self.options.architecture
        self.estimators = nn.ModuleDict({axis: Estimator(self.architecture) for axis in AXES})
        # By which the expected error of a question of each of KINDS is multiplied; found by `calibrate`.
        self.register_buffer("error_factors", torch.ones(len(KINDS)))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, Estimator):
            # The children are drawn before their parent: it begins as the autoregression.
            init.zeros_(module.head.weight)
            init.zeros_(module.head.bias)
            start = torch.zeros_like(module.head.bias)
            start[module.lines] = NOISE_START / GAIN
            start[module.lines + 1 : module.lines + 1 + PREDICTIONS] = torch.tensor(PREFERENCE_START)
            init.copy_(module.head.bias, start)
            init.copy_(module.mixture, torch.tensor([1 / LOG_UNIT, 0.0, 0.0, 0.0]))
            init.zeros_(module.error)
            init.copy_(module.error[:, -1], torch.tensor(ERROR_START) / ERROR_GAIN)
            init.copy_(module.others_error, torch.tensor(OTHERS_ERROR_START) / ERROR_GAIN)

    def forward(self, csi: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Loss of one training step: prediction along an axis that is drawn, of the strongest bins, from noisy CSI.

        Args:
            csi: complex (batch, time, antenna, subcarrier), clean.
            generator: of the axis, the slots that are seen, the known part, the symmetries and the noise; on the CPU.

        Returns:
            "loss": the square error of the bins that are learnt from, relative to the power of all that is asked for,
            as the mean over the samples, plus the weighted one of the prediction by the spectrum alone, plus the loss
            of the expected error; and the first part of it under the name of the axis, "time_loss" or
            "frequency_loss".

        Raises:
            InputError: neither axis has more entries than must be known.
        """
        draws, (low, high) = self.options.draws, self.options.snr_db
        axis, draw_usual, length, draw_crop, draw_every = torch.rand(5, generator=generator).tolist()
        possible = [name for name, dimension in AXES.items() if csi.shape[dimension] > FEWEST_KNOWN]
        if not possible:
            raise InputError(f"csi of shape {tuple(csi.shape)} is too small: nothing can be asked for")
        name = "time" if axis < draws.time else "frequency"
        name = name if name in possible else possible[0]
        if self.training:
            csi = random_symmetry(csi, generator)
            csi = every_second_slot(csi) if draw_every < draws.every_second else csi
        dimension, other = (AXES[name], AXES["frequency" if name == "time" else "time"])
        if draw_crop < draws.crop:
            csi = csi.narrow(other, 0, max(1, csi.shape[other] // 2))
        size = csi.shape[dimension]
        free = size - FEWEST_KNOWN  # numbers of known entries that leave something over
        seen = FEWEST_KNOWN + int(length * free)
        if draw_usual < draws.usual:
            seen = max(FEWEST_KNOWN, int(self.options.known_share * size))
        known, wanted = csi.narrow(dimension, 0, seen), csi.narrow(dimension, seen, min(seen, size - seen))

        snr_db = low + (high - low) * torch.rand(len(csi), generator=generator)
        known = add_noise(known, snr_db, generator)
        scale = rms_scale(known)
        series, target = to_bins(known / scale, name), to_bins(wanted / scale, name)
        learnt, asked = min(draws.bins, series.shape[1] * series.shape[2]), self._asked_about(series)
        order = strongest(series, max(learnt, asked))
        chosen = order[:, :learnt]
        bins = self._bins(series, name)
        found = self._continue(bins, chosen, target.shape[-1], name)
        target_power = power(target).sum((1, 2, 3)).clamp_min(torch.finfo(torch.float32).tiny)
        picked = pick(target, chosen)
        loss, spectrum_loss = (
            (power(predicted - picked).sum((1, 2)) / target_power).mean()
            for predicted in (found.values, found.by_spectrum)
        )
        weak = others_than(order[:, :asked], series)
        error_loss = self._error_loss(bins, chosen, weak, found, target, name)
        total = loss + draws.spectrum_weight * spectrum_loss + error_loss
        return {"loss": total, f"{name}_loss": loss.detach()}

    def _error_loss(
        self,
        bins: "Bins",
        chosen: torch.Tensor,
        weak: torch.Tensor,
        found: "Continuation",
        target: torch.Tensor,
        axis: str,
    ) -> torch.Tensor:
        """Deviance of a Poisson regression of square errors on their expectation, as the mean over what is asked for.

        It is least where the expectation is the mean of the errors; so it is of their sums, too. Errors are told
        relative to the power of the known block, which is 1 here: that of what is asked for is not known beforehand.

        Args:
            bins: of samples of unit power.
            chosen: (batch, chosen bin), positions of the bins that are learnt from.
            weak: (batch, row, column), 1 for the bins that the network is not asked about in a prediction, else 0.
            found: what follows the chosen bins.
            target: complex (batch, row, column, step), what does follow all bins.
            axis: "time" or "frequency".
        """
        with torch.no_grad():
            errors = power(found.values - pick(target, chosen))
            others = extrapolate(bins.series, bins.filters[0], target.shape[-1])
            others_error = (power(others - target) * weak[..., None]).sum((1, 2))
        expected_others = self._expected_others(bins.series, weak, target.shape[-1], axis)
        total = deviance(errors, found.expected_error).sum() + deviance(others_error, expected_others).sum()
        return total / target.numel()

    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """Continue CSI in time, in frequency or in both; see `wavefoundry.networks.capabilities.Predictor`.

        Raises:
            InputError: as `predict_with_error`.
        """
        return self.predict_with_error(known, slots, subcarriers)[0]

    @torch.inference_mode()
    @checked
    def predict_with_error(
        self, known: torch.Tensor, slots: int, subcarriers: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `wavefoundry.networks.capabilities.ErrorEstimator`.

        All but the network itself is computed in double precision. Slots that are lost are put in before
        (lost_slots.py); the expected error does not know of it. Where time and frequency are both continued, the
        second continuation reads the first one's answer, and the errors of both are added. This is done in both
        orders, which err in part differently, and the answer is their mean. The expected error is multiplied by the
        factor that `calibrate` has found for this kind of question.

        Raises:
            InputError: as `checked` says, or a single entry is known along an axis that is to be continued.
        """
        steps = {"time": slots, "frequency": subcarriers}
        for name, dimension in AXES.items():
            if steps[name] and known.shape[dimension] < FEWEST_KNOWN:
                raise InputError(f"{known.shape[dimension]} known entry along {name}; {FEWEST_KNOWN} are needed")
        known = with_lost_slots(known.to(self.device))
        scale = rms_scale(known).double()
        unit = known.to(torch.complex128) / scale
        axes = [name for name in AXES if steps[name]]
        orders = [axes, axes[::-1]] if len(axes) > 1 else [axes]
        answers, errors = zip(*(self._continued_along(order, unit, steps) for order in orders), strict=True)
        # How alike the two err is part of the factor.
        answer, error = sum(answers) / len(orders), sum(errors) / len(orders)
        factor = self.error_factors[KINDS.index(kind_of(slots, subcarriers))]
        error = (factor * error * scale[:, 0] ** 2).expand(-1, answer.shape[1], answer.shape[3])
        return (answer * scale).to(torch.complex64), error.float()

    def _continued_along(
        self, order: list[str], box: torch.Tensor, steps: dict[str, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is asked for, found along one axis after the other, and its expected error.

        Args:
            order: axes.
            box: the known block, of unit power.
            steps: by axis.

        Returns:
            complex (batch, time, antenna, subcarrier), and real (batch, time or 1, subcarrier or 1).
        """
        error = box.real.new_zeros(len(box), 1, 1)
        for name in order:
            bins = self._bins(to_bins(box, name), name)
            beyond, expected = self._beyond(bins, steps[name], name)
            # Bins keep the power, of which each entry of CSI has its share.
            expected = expected / (bins.series.shape[1] * bins.series.shape[2])
            error = error + (expected[:, :, None] if name == "time" else expected[:, None])
            box = torch.cat([box, from_bins(beyond, name)], dim=AXES[name])
        for name in order:
            box = box.narrow(AXES[name], box.shape[AXES[name]] - steps[name], steps[name])
        return box, error

    def calibrate(self, samples: Iterable[torch.Tensor], generator: torch.Generator) -> None:
        """Find the factors that make the expected error as large, in the mean, as the measured one.

        Args:
            samples: complex64 batches (batch, time, antenna, subcarrier) without noise, that were not learnt from.
            generator: of the noise, on the CPU.
        """
        low, high = self.options.snr_db
        self.error_factors.fill_(1.0)
        found = error_factors(self, samples, self.options.known_share, (low, high), generator)
        self.error_factors.copy_(torch.tensor([found[kind] for kind in KINDS]))

    def _bins(self, series: torch.Tensor, axis: str) -> "Bins":
        """Series of bins, complex (batch, row, column, step), with their autoregressions."""
        with torch.no_grad():
            return Bins(series, *lattice(series, getattr(self.architecture.orders, axis)))

    def _beyond(self, bins: "Bins", horizon: int, axis: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Continue all bins.

        Returns:
            complex (batch, row, column, horizon), and the square error that is to be expected of all bins together,
            real (batch, horizon).
        """
        series = bins.series
        chosen = strongest(series, self._asked_about(series))
        found = self._continue(bins, chosen, horizon, axis)
        others = extrapolate(series, bins.filters[0], horizon).flatten(1, 2)
        beyond = others.scatter(1, chosen[:, :, None].expand_as(found.values), found.values)
        expected = self._expected_others(series, others_than(chosen, series), horizon, axis)
        expected = expected + found.expected_error.sum(1)
        return beyond.unflatten(1, series.shape[1:3]), expected

    def _asked_about(self, series: torch.Tensor) -> int:
        """Of how many bins the network says how they go on."""
        return max(1, round(self.architecture.share * series.shape[1] * series.shape[2]))

    def _expected_others(self, series: torch.Tensor, weak: torch.Tensor, horizon: int, axis: str) -> torch.Tensor:
        """Expected square error of the `weak` bins together, (batch, horizon)."""
        level = (power(series).mean(-1) * weak).sum((1, 2))
        terms = ERROR_GAIN * cast(Estimator, self.estimators[axis]).others_error.to(level.dtype)
        return level[:, None] * relative_error(terms.expand(len(level), -1), horizon, series)

    def _continue(self, bins: "Bins", chosen: torch.Tensor, horizon: int, axis: str) -> "Continuation":
        """What the network makes of the chosen bins.

        Args:
            bins: of samples of unit power.
            chosen: (batch, chosen bin), positions of bins, row by row.
            horizon: entries to predict.
            axis: "time" or "frequency".
        """
        series = bins.series
        features, filters = self._features(bins, chosen)
        estimate = self.estimators[axis](features.to(self.dtype).flatten(0, 1)).unflatten(0, features.shape[:2])
        # bfloat16 of mixed precision ends here: differences of covariances need the digits.
        with torch.autocast(series.device.type, enabled=False):
            own = pick(series, chosen)
            spectrum, noise, levels, slopes, error = estimate.to(series.real.dtype).split(
                [self.architecture.frequencies, 1, PREDICTIONS, PREDICTIONS, ERROR_TERMS], dim=-1
            )
            by_spectrum = wiener(own, spectrum.softmax(-1), self.architecture.noise_floor + noise.exp(), horizon)
            own_power = power(own).mean(-1)[..., None]
            limit = 3 * own_power.sqrt()
            by_filters = [limited(extrapolate(own, each, horizon), limit) for each in filters]
            ahead = steps_ahead(horizon, own)[:, None]
            weights = (levels[..., None, :] + slopes[..., None, :] * ahead).softmax(-1)
            values = (weights * torch.stack([by_spectrum, *by_filters], dim=-1)).sum(-1)
            return Continuation(values, by_spectrum, own_power * relative_error(error, horizon, own))

    @torch.no_grad()
    def _features(self, bins: "Bins", chosen: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the estimator reads of the chosen bins, (batch, chosen bin, feature), and their two filters."""
        architecture, series = self.architecture, bins.series
        _, rows, columns, seen = series.shape
        # Autocorrelations, whose transforms are periodograms, are what can be pooled cheaply.
        lags = torch.fft.ifft(power(torch.fft.fft(series, n=2 * seen)))[..., :seen] / seen
        of_bins = lags[..., 0].real
        of_sample = of_bins.mean((1, 2))[:, None].clamp_min(torch.finfo(torch.float32).tiny)
        own, around, whole = pick(lags, chosen), pick(pooled(lags), chosen), lags.mean((1, 2))[:, None]
        periodograms = [periodogram(each, architecture.frequencies // 2) for each in (own, around, whole)]
        periodograms[2] = periodograms[2].expand_as(periodograms[0])

        filters = [pick(each, chosen) for each in bins.filters]
        first = filters[0]
        step = torch.arange(first.shape[-1], device=series.device, dtype=first.real.dtype)
        response = torch.fft.fft(first * architecture.damping**step, n=architecture.frequencies)
        shape = 1 / power(response).clamp_min(1e-8)
        autoregression = LOG_UNIT * (shape / shape.sum(-1, keepdim=True) + QUIET).log()

        own_power, around_power = own[..., 0].real, around[..., 0].real
        middle = of_bins.flatten(1).median(1).values[:, None].expand_as(own_power)
        level, level_around, level_middle = (
            LOG_UNIT * (each / of_sample + QUIET).log() for each in (own_power, around_power, middle)
        )
        scalars = [level, level_around, level_middle, level - level_middle]
        for left, whole_power in ((bins.residual, own_power), (pooled(bins.residual), around_power)):
            rest = pick(left[..., None], chosen)[..., 0] / whole_power.clamp_min(torch.finfo(torch.float32).tiny)
            scalars.append(LOG_UNIT * rest.clamp(1e-4, 1e2).log())
        sizes = [math.log(seen) - 2, 4 / seen, 0.2 * math.log(rows * columns) - 1]
        scalars += [torch.full_like(level, size) for size in sizes]
        return torch.cat([autoregression, *periodograms, torch.stack(scalars, dim=-1)], dim=-1), filters


def every_second_slot(csi: torch.Tensor) -> torch.Tensor:
    """CSI (batch, time, antenna, subcarrier) as if slots were twice as long; unchanged where too few would be left."""
    return csi[:, ::2] if csi.shape[1] > 2 * FEWEST_KNOWN else csi


def periodogram(lags: torch.Tensor, lines: int) -> torch.Tensor:
    """Logarithm of the periodogram, relative to the greatest it can be, from autocorrelations: (..., line)."""
    seen = lags.shape[-1]
    step = torch.arange(seen, device=lags.device, dtype=lags.real.dtype)
    angles = 2 * math.pi / lines * step[:, None] * torch.arange(lines, device=lags.device, dtype=step.dtype)
    weight = torch.where(step > 0, 2.0, 1.0).to(step.dtype)[:, None]
    values = lags.real @ (weight * angles.cos()) + lags.imag @ (weight * angles.sin())
    relative = values / seen / lags[..., :1].real.clamp_min(torch.finfo(torch.float32).tiny)
    return LOG_UNIT * (relative + QUIET_LINE).clamp_min(QUIET_LINE).log()


def steps_ahead(horizon: int, like: torch.Tensor) -> torch.Tensor:
    """How far ahead each of `horizon` entries lies, in lengths of the series `like` (..., step): (horizon,)."""
    steps = torch.arange(1, horizon + 1, device=like.device)
    return (steps / like.shape[-1]).clamp(max=FARTHEST).to(like.real.dtype)


def relative_error(terms: torch.Tensor, horizon: int, like: torch.Tensor) -> torch.Tensor:
    """Expected square error relative to the power of the series `like`, from its terms (..., 3): (..., horizon)."""
    ahead = steps_ahead(horizon, like)
    basis = torch.stack([torch.ones_like(ahead), ahead - 0.5, ahead.log() + 1])
    return (terms @ basis).clamp(LEAST_ERROR, LARGEST_ERROR).exp()


def deviance(errors: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Of a Poisson distribution, entry by entry: at least 0, and 0 where both are equal."""
    least = torch.finfo(torch.float32).tiny
    return torch.xlogy(errors, (errors / expected.clamp_min(least)).clamp_min(least)) - errors + expected


def limited(values: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """Complex values with magnitudes cut at `limit`."""
    return values * (limit / values.abs().clamp_min(torch.finfo(torch.float32).tiny)).clamp(max=1)


def build(options: Options, delay_fraction: float) -> SpectralPredictor:
    """A fresh network."""
    return SpectralPredictor(SpectralPredictorConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: prediction along time or frequency from noisy CSI; then the calibration of the expected error."""
    model, history = train_network(
        build(options, session.delay_fraction),
        session.dataset,
        config=options.training,
        seed=session.seed,
        checkpoints=session.checkpoints,
        on_epoch=session.on_epoch,
    )
    model.calibrate(batches(session.validation(), session.seed), torch.Generator().manual_seed(session.seed))
    return Trained(model, history)


NETWORKS = (SpectralPredictor,)
