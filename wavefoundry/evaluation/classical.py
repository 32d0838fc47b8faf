"""What engineers use without learning: sample-and-hold, and an autoregressive predictor per tap."""

import torch

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi


class SampleAndHold:
    """Repeats the last known slot (or subcarrier)."""

    def predict(self, known: torch.Tensor, axis: str, horizon: int) -> torch.Tensor:
        """See `wavefoundry.evaluation.prediction.Predictor`."""
        if axis == "time":
            return known[:, -1:].expand(-1, horizon, -1, -1)
        return known[..., -1:].expand(-1, -1, -1, horizon)


class Autoregression:
    """Linear prediction of each tap from its own past, fitted on the known part of the same sample.

    A tap is an angle-delay bin for prediction in time, and an angle bin (all slots together) for prediction in
    frequency. The coefficients minimise the forward and backward prediction error (modified covariance method) with
    diagonal loading, which keeps the recursion from following the noise.
    """

    def __init__(self, order: int, regularisation: float):
        self.order = order
        self.regularisation = regularisation

    def predict(self, known: torch.Tensor, axis: str, horizon: int) -> torch.Tensor:
        """See `wavefoundry.evaluation.prediction.Predictor`."""
        array = (1, known.shape[2])
        if axis == "time":
            taps = to_angle_delay(known, array, known.shape[3]).permute(0, 2, 3, 1).unsqueeze(-2)
            future = self._extrapolate(taps, horizon).squeeze(-2).permute(0, 3, 1, 2)
            return to_csi(future, array, known.shape[3])
        taps = torch.fft.fft(known, dim=2, norm="ortho").permute(0, 2, 1, 3)
        return torch.fft.ifft(self._extrapolate(taps, horizon).permute(0, 2, 1, 3), dim=2, norm="ortho")

    def _extrapolate(self, series: torch.Tensor, horizon: int) -> torch.Tensor:
        """Continue series (..., realisation, step) by `horizon` steps; realisations share their coefficients."""
        order = min(self.order, series.shape[-1] // 2)
        coefficients = self._fit(series.to(torch.complex128), order)
        past = series[..., -order:].to(torch.complex128)
        steps = []
        for _ in range(horizon):
            steps.append((past * coefficients).sum(dim=-1))
            past = torch.cat([past[..., 1:], steps[-1].unsqueeze(-1)], dim=-1)
        return torch.stack(steps, dim=-1).to(series.dtype)

    def _fit(self, series: torch.Tensor, order: int) -> torch.Tensor:
        """Coefficients (..., 1, order), the oldest step first."""
        forward = series.unfold(-1, order + 1, 1)
        # Time reversal and conjugation leave the statistics of a stationary process as they are.
        both = torch.cat([forward, forward.flip(-1).conj()], dim=-2).flatten(-3, -2)
        regressors, target = both[..., :order], both[..., order:]
        gram = regressors.mH @ regressors
        power = gram.diagonal(dim1=-2, dim2=-1).real.mean(dim=-1)
        loading = (self.regularisation * power).clamp_min(torch.finfo(power.dtype).tiny)
        gram = gram + loading[..., None, None] * torch.eye(order, dtype=gram.dtype)
        return torch.linalg.solve(gram, regressors.mH @ target).mT
