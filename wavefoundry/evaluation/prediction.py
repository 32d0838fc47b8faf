"""Questions of channel prediction, and the score of a predictor on CSI with a noisy known block."""

from dataclasses import dataclass

import torch

from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.silence import silent
from wavefoundry.evaluation.metrics import expected_nmse, nmse, nmse_by_step, ratio_of_sums, spectral_efficiency
from wavefoundry.evaluation.options import Blocks
from wavefoundry.evaluation.zero_forcing import zero_forcing_sum_rate
from wavefoundry.networks.capabilities import ErrorEstimator, Predictor


@dataclass(frozen=True)
class Question:
    """What is known of a sample, and what is asked for; the known block is noisy, what is asked for is clean.

    blocks: shares of the slots and subcarriers.
    snr_db: of the known block [dB].
    noise_seed: the noise is drawn from it.
    """

    blocks: Blocks
    snr_db: float
    noise_seed: int

    def split(self, csi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
        """Noisy known block, clean wanted block, and (slots, subcarriers) that are wanted beyond the known ones.

        Args:
            csi: complex (sample, time, antenna, subcarrier).
        """
        (slots, band), (more_slots, more_band) = self.blocks.sizes(csi.shape[1], csi.shape[3])
        noise = torch.Generator().manual_seed(self.noise_seed)
        known = add_noise(csi[:, :slots, :, :band], self.snr_db, noise)
        return known, self._wanted(csi), (more_slots, more_band)

    def silent(self, csi: torch.Tensor) -> torch.Tensor:
        """Of which samples (sample, time, antenna, subcarrier) the wanted block is zero throughout: bool (sample,).

        Their NMSE is not defined; who scores samples leaves them out.
        """
        return silent(self._wanted(csi))

    def _wanted(self, csi: torch.Tensor) -> torch.Tensor:
        (slots, band), (more_slots, more_band) = self.blocks.sizes(csi.shape[1], csi.shape[3])
        wanted = csi[:, slots : slots + more_slots] if more_slots else csi[:, :slots]
        return wanted[..., band : band + more_band] if more_band else wanted[..., :band]


def predict_in_batches(
    predictor: Predictor, known: torch.Tensor, wanted: tuple[int, int], batch_size: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Predictions for all samples, and the NMSE that is to be expected of each where the predictor says it.

    Args:
        predictor: what is asked.
        known: complex64 (sample, time, antenna, subcarrier), the known block.
        wanted: slots and subcarriers.
        batch_size: samples per call.

    Returns:
        complex64 (sample, time, antenna, subcarrier), and None or real (sample,).
    """
    if not isinstance(predictor, ErrorEstimator):
        return torch.cat([predictor.predict(part, *wanted) for part in known.split(batch_size)]), None
    parts = [predictor.predict_with_error(part, *wanted) for part in known.split(batch_size)]
    found, error = (torch.cat(each) for each in zip(*parts, strict=True))
    return found, expected_nmse(found, error)


@dataclass(frozen=True)
class Scores:
    """How good the predictions of all samples are.

    nmse: float64 (sample,), a power ratio.
    by_step: float64 (sample, slot), the same for each slot after the known ones; no slots where none is asked for.
    silent_steps: bool (sample, slot), which of these slots are zero throughout and have no NMSE.
    ratio_of_sums: of all samples together.
    rate, perfect_rate: float64 (sample,) [bit/s/Hz], with beams steered by the prediction, and by the channel itself.
    expected: real (sample,), the NMSE that the predictor expects of itself; None where it says nothing.
    group_rate, perfect_group_rate: float64 (group,) [bit/s/Hz], with zero-forcing; None without groups of users.
    """

    nmse: torch.Tensor
    by_step: torch.Tensor
    silent_steps: torch.Tensor
    ratio_of_sums: float
    rate: torch.Tensor
    perfect_rate: torch.Tensor
    expected: torch.Tensor | None
    group_rate: torch.Tensor | None = None
    perfect_group_rate: torch.Tensor | None = None


def score(
    predictor: Predictor,
    csi: torch.Tensor,
    question: Question,
    batch_size: int,
    beamforming_snr_db: float,
    groups: torch.Tensor | None = None,
) -> Scores:
    """Ask a predictor about every sample.

    Args:
        predictor: what is judged.
        csi: complex64 (sample, time, antenna, subcarrier), without noise.
        question: what is known and what is asked.
        batch_size: samples per call of the predictor.
        beamforming_snr_db: see `wavefoundry.evaluation.metrics.spectral_efficiency` [dB].
        groups: whole (group, user), numbers of samples that are served at once.

    Raises:
        InputError: the wanted block of a sample is zero throughout (`Question.silent`).
    """
    known, target, wanted = question.split(csi)
    found, expected = predict_in_batches(predictor, known, wanted, batch_size)
    steps = wanted[0]  # none where no slots are asked for
    by_step = nmse_by_step(found, target)
    silent_steps = silent(target.flatten(0, 1)).view(target.shape[:2])
    return Scores(
        nmse(found, target),
        by_step[:, :steps],
        silent_steps[:, :steps],
        ratio_of_sums(found, target),
        spectral_efficiency(found, target, beamforming_snr_db),
        spectral_efficiency(target, target, beamforming_snr_db),
        expected,
        None if groups is None else zero_forcing_sum_rate(found[groups], target[groups], beamforming_snr_db),
        None if groups is None else zero_forcing_sum_rate(target[groups], target[groups], beamforming_snr_db),
    )
