"""Statistics of a prediction and their aggregation."""

import math

import torch

from wavefoundry.csi.silence import silent
from wavefoundry.errors import InputError


def nmse(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Normalised mean square error of each sample: |h_hat - h|^2 / |h|^2, both summed over all but the first axis.

    Args:
        predicted, target: complex (sample, ...).

    Returns:
        real float64 (sample,).

    Raises:
        InputError: a target is zero throughout, of which no error is a share.
    """
    without = silent(target)
    if without.any():
        raise InputError(
            f"the target of sample {int(without.nonzero()[0])} is zero throughout: it has no NMSE; allowed: targets "
            "with power"
        )
    return _error_ratio(predicted, target)


def _error_ratio(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    error = (predicted - target).to(torch.complex128).abs().square().flatten(1).sum(dim=1)
    return error / target.to(torch.complex128).abs().square().flatten(1).sum(dim=1)


def expected_nmse(predicted: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    """The NMSE of each sample that a predictor expects of itself, before the truth is known.

    The power of the truth is to be expected as that of the prediction and of its error together, which are orthogonal
    where the prediction is a mean.

    Args:
        predicted: complex (sample, slot, antenna, subcarrier).
        error: real (sample, slot, subcarrier), expected square error of an entry, as a mean over antennas.

    Returns:
        real float64 (sample,), from 0 to 1.
    """
    wrong = error.double().sum((1, 2)) * predicted.shape[2]
    power = predicted.to(torch.complex128).abs().square().sum((1, 2, 3))
    return wrong / (wrong + power).clamp_min(torch.finfo(torch.float64).tiny)


def nmse_by_step(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """NMSE of each slot of each sample.

    Args:
        predicted, target: complex (sample, slot, antenna, subcarrier).

    Returns:
        real float64 (sample, slot), NaN of a slot that is zero throughout.
    """
    slots = target.flatten(0, 1)
    ratios = _error_ratio(predicted.flatten(0, 1), slots)
    return ratios.masked_fill(silent(slots), math.nan).view(target.shape[:2])


def ratio_of_sums(predicted: torch.Tensor, target: torch.Tensor) -> float:
    """|h_hat - h|^2 / |h|^2, both summed over all samples: an NMSE in which strong samples count more."""
    error = (predicted - target).to(torch.complex128).abs().square().sum()
    return (error / target.to(torch.complex128).abs().square().sum()).item()


def spectral_efficiency(beamformer: torch.Tensor, channel: torch.Tensor, snr_db: float) -> torch.Tensor:
    """What matched beamforming with a predicted channel carries, mean over slots and subcarriers.

    log2(1 + |h^H h_hat|^2 / |h_hat|^2 x snr / p), where p is the mean power of one antenna of the sample: a single
    antenna of mean power sees `snr_db`, and perfect beamforming adds the array's gain.

    Args:
        beamformer: complex (sample, slot, antenna, subcarrier), the prediction; the channel itself for the upper bound.
            Where it is silent nothing is carried.
        channel: complex, the same shape.
        snr_db: [dB].

    Returns:
        real float64 (sample,) [bit/s/Hz].
    """
    beamformer, channel = beamformer.to(torch.complex128), channel.to(torch.complex128)
    power = channel.abs().square().mean((1, 2, 3), keepdim=True).squeeze(2)
    received = (channel.conj() * beamformer).sum(2).abs().square()
    norm = beamformer.abs().square().sum(2)
    gain = torch.where(norm > 0, received / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0.0)
    return torch.log2(1 + gain / power * 10 ** (snr_db / 10)).mean((1, 2))


def to_db(ratio: float) -> float:
    """Power ratio in dB."""
    return 10 * math.log10(ratio)
