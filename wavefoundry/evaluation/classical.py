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
    frequency. The coefficients are Burg's: forward and backward prediction errors are minimised by reflection
    coefficients of magnitude at most 1, so that no prediction grows without bound.
    """

    def __init__(self, order: int):
        self.order = order

    def predict(self, known: torch.Tensor, axis: str, horizon: int) -> torch.Tensor:
        """See `wavefoundry.evaluation.prediction.Predictor`."""
        array = (1, 1, known.shape[2])
        if axis == "time":
            taps = to_angle_delay(known, array, known.shape[3]).permute(0, 2, 3, 1).unsqueeze(-2)
            future = self._extrapolate(taps, horizon).squeeze(-2).permute(0, 3, 1, 2)
            return to_csi(future, array, known.shape[3])
        taps = torch.fft.fft(known, dim=2, norm="ortho").permute(0, 2, 1, 3)
        return torch.fft.ifft(self._extrapolate(taps, horizon).permute(0, 2, 1, 3), dim=2, norm="ortho")

    def _extrapolate(self, series: torch.Tensor, horizon: int) -> torch.Tensor:
        """Continue series (..., realisation, step) by `horizon` steps; realisations share their coefficients."""
        order = min(self.order, series.shape[-1] // 2)
        values = series.to(torch.complex128)
        weights = -burg(values, order)[..., 1:].flip(-1).unsqueeze(-2)
        past = values[..., -order:]
        steps = []
        for _ in range(horizon):
            steps.append((past * weights).sum(dim=-1))
            past = torch.cat([past[..., 1:], steps[-1].unsqueeze(-1)], dim=-1)
        return torch.stack(steps, dim=-1).to(series.dtype)


def burg(series: torch.Tensor, order: int) -> torch.Tensor:
    """Coefficients of the prediction error filter by Burg's method.

    Args:
        series: complex (..., realisation, step); realisations of one process.
        order: number of past steps.

    Returns:
        complex (..., order + 1), the first is 1: sum over i of a_i x[n - i] is the prediction error. All zeros of the
        filter lie within the unit circle.
    """
    forward = backward = series
    filter_ = torch.ones(*series.shape[:-2], 1, dtype=series.dtype)
    for _ in range(order):
        forward, backward = forward[..., 1:], backward[..., :-1]
        power = (forward.abs().square() + backward.abs().square()).sum(dim=(-2, -1))
        cross = (forward * backward.conj()).sum(dim=(-2, -1))
        reflection = -2 * cross / power.clamp_min(torch.finfo(power.dtype).tiny)
        longer = torch.nn.functional.pad(filter_, (0, 1))
        filter_ = longer + reflection.unsqueeze(-1) * longer.flip(-1).conj()
        gain = reflection[..., None, None]
        forward, backward = forward + gain * backward, backward + gain.conj() * forward
    return filter_
