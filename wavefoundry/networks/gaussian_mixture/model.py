"""Prediction with mixtures of Gaussians: the posterior mean of what is wanted, given what is known with noise.

Source: Koller, Fesl, Turan, Utschick, "An Asymptotically MSE-Optimal Estimator Based on Gaussian Mixture Models", IEEE
Transactions on Signal Processing 70, 2022, arXiv:2112.12499. There the mixture describes whole channels that are to be
estimated; here it describes the series of single bins over time or over frequency, whose end is wanted.
"""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.gaussian_mixture import posterior
from wavefoundry.networks.gaussian_mixture.em import fit
from wavefoundry.networks.gaussian_mixture.options import Options
from wavefoundry.networks.gaussian_mixture.series import Draw, over_frequency, over_time
from wavefoundry.training.one_pass import batches
from wavefoundry.training.session import Trained, TrainingSession

AXES = ("time", "frequency")


class GaussianMixtureConfig(NetworkConfig):
    """config.json of a predictor with mixtures of Gaussians."""

    model_type = "gaussian_mixture"
    options_class = Options


class GaussianMixture(PreTrainedModel):
    """A mixture of the series of angle-delay bins over time, and one of the series of angle bins over frequency.

    Weights and covariances are parameters without gradient, and predictions are computed by
    `posterior.GaussianMixtures`. Fresh, all components take series for white noise, and predictions are 0.
    """

    config_class = GaussianMixtureConfig
    main_input_name = "csi"

    def __init__(self, config: GaussianMixtureConfig):
        super().__init__(config)
        self.options: Options = config.settings
        self._made: tuple[tuple[int, ...], posterior.GaussianMixtures] | None = None
        for axis in AXES:
            mixture = getattr(self.options, axis)
            white = torch.eye(mixture.length, dtype=torch.complex64).expand(mixture.components, -1, -1)
            weights = torch.full((mixture.components,), 1 / mixture.components)
            self.register_parameter(f"{axis}_weights", nn.Parameter(weights, requires_grad=False))
            # (component, step, step, real and imaginary part).
            covariances = torch.view_as_real(white.contiguous())
            self.register_parameter(f"{axis}_covariances", nn.Parameter(covariances, requires_grad=False))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """There are no weights to draw."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters as `posterior.GaussianMixtures` takes them."""
        found = {}
        for axis in AXES:
            found[f"{axis}_weights"] = getattr(self, f"{axis}_weights").detach().cpu().float().numpy()
            covariances = torch.view_as_complex(getattr(self, f"{axis}_covariances").detach().cpu().float())
            found[f"{axis}_covariances"] = covariances.numpy()
        return found

    @torch.no_grad()
    def set_mixture(self, axis: str, weights: torch.Tensor, covariances: torch.Tensor) -> None:
        """Take real (component) and complex (component, step, step) as the mixture of one axis."""
        getattr(self, f"{axis}_weights").copy_(weights)
        getattr(self, f"{axis}_covariances").copy_(torch.view_as_real(covariances.resolve_conj()))

    def _predictor(self) -> posterior.GaussianMixtures:
        """What predicts, made anew when a parameter has changed: its decompositions take as long as a prediction."""
        versions = tuple(parameter._version for parameter in self.parameters())
        if self._made is None or self._made[0] != versions:
            self._made = versions, posterior.GaussianMixtures(self.options.snr_db, **self.arrays())
        return self._made[1]

    @torch.inference_mode()
    @checked
    def predict(self, known: torch.Tensor, slots: int, subcarriers: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.Predictor`; the result is on the CPU.

        Raises:
            InputError: as `checked` says, or more slots or subcarriers than the mixtures were learnt for.
        """
        try:
            return torch.from_numpy(self._predictor().predict(known.cpu().numpy(), slots, subcarriers))
        except ValueError as error:
            raise InputError(str(error)) from None


def build(options: Options, delay_fraction: float) -> GaussianMixture:
    """A predictor that has learnt nothing yet."""
    return GaussianMixture(GaussianMixtureConfig.of(options))


@torch.no_grad()
def train(options: Options, session: TrainingSession) -> Trained:
    """Draw series from all samples, and fit the mixture of time, then that of frequency.

    The history has one row for each step of expectation maximisation; its "loss" is the perplexity of the series,
    exp(- mean log-likelihood of an entry), which never rises.
    """
    model = build(options, session.delay_fraction)
    generator = torch.Generator().manual_seed(session.seed)
    draws = {
        "time": Draw(options.time, "slots", True, generator),
        "frequency": Draw(options.frequency, "subcarriers", False, generator),
    }
    for csi in batches(session.dataset, session.seed):
        for axis, cut in (("time", over_time), ("frequency", over_frequency)):
            draws[axis].add(cut(csi), -(-getattr(options, axis).series // len(session.dataset)))
    history: list[dict] = []

    def report(loss: float) -> None:
        epoch = sum(row["stage"] == axis for row in history) + 1
        history.append({"stage": axis, "epoch": epoch, "loss": loss})
        if session.on_epoch:
            session.on_epoch(history[-1], len(history))

    for axis in AXES:
        mixture = getattr(options, axis)
        found = fit(
            draws.pop(axis).groups(),
            mixture.length,
            mixture.components,
            mixture.iterations,
            options.floor,
            generator,
            report,
        )
        model.set_mixture(axis, *found)
    return Trained(model.eval(), history)


NETWORKS = (GaussianMixture,)
