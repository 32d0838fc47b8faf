"""Factors that make the error that a predictor expects as large, in the mean, as the one that it makes.

A network learns what to expect on samples that it has seen, where it errs less than on others; and where time and
frequency are both continued, it adds up the errors of two steps, of which the second reads the first one's answer. Both
make it too sure; that the answer is the mean of both orders, which errs less than either, makes it less so. Samples
that it has not seen tell by which factor, one for each kind of question: the factor is where the deviance of a Poisson
regression on it is least, and so where the means are equal.
"""

from collections.abc import Iterable

import torch

from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.networks.capabilities import ErrorEstimator
from wavefoundry.networks.spectral_predictor.options import FEWEST_KNOWN

# Kinds of questions, as `kind_of` tells them.
KINDS = ("time", "frequency", "both")


def kind_of(slots: int, subcarriers: int) -> str:
    """Which of KINDS a question is that asks for so many slots and subcarriers beyond the known ones."""
    if slots and subcarriers:
        return "both"
    return "time" if slots else "frequency"


def error_factors(
    predictor: ErrorEstimator,
    samples: Iterable[torch.Tensor],
    known_share: float,
    snr_db: tuple[float, float],
    generator: torch.Generator,
) -> dict[str, float]:
    """Measured error over expected error, both as means over samples of unit power.

    A share of the slots, of the subcarriers or of both is known, the first ones.

    Args:
        predictor: whose expectation is judged.
        samples: complex64 batches (batch, time, antenna, subcarrier) without noise, none of which it has learnt from.
        known_share: more than 0, less than 1.
        snr_db: range of the SNR of what is known, drawn uniformly per sample [dB].
        generator: of SNR and noise, on the CPU.

    Returns:
        one factor above 0 for each of KINDS; 1 where no batch is large enough for such a question, and where no error
        is expected or made.
    """
    measured, expected = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
    low, high = snr_db
    for batch in samples:
        csi = batch / rms_scale(batch)
        more_slots, more_band = (_beyond(known_share, size) for size in (csi.shape[1], csi.shape[3]))
        asked = {"time": (more_slots, 0), "frequency": (0, more_band), "both": (more_slots, more_band)}
        for kind, (slots, band) in asked.items():
            if not (slots or band) or kind_of(slots, band) != kind:
                continue
            snr = low + (high - low) * torch.rand(len(csi), generator=generator)
            known = add_noise(csi[:, : csi.shape[1] - slots, :, : csi.shape[3] - band], snr, generator)
            found, error = predictor.predict_with_error(known, slots, band)
            wanted = csi[:, -slots:, :, -band:]  # of 0, all of them
            measured[kind] += torch.view_as_real(found - wanted).square().sum(-1).mean((1, 2, 3)).double().sum().item()
            expected[kind] += error.mean((1, 2)).double().sum().item()
    return {
        kind: measured[kind] / expected[kind] if measured[kind] > 0 and expected[kind] > 0 else 1.0 for kind in KINDS
    }


def _beyond(known_share: float, size: int) -> int:
    """Entries along an axis that are asked for, where a share is known; 0 where too few would be."""
    return max(0, size - max(FEWEST_KNOWN, int(known_share * size)))
