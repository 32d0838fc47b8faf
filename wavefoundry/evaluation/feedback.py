"""Codecs of channel feedback, judged by what a base station makes of the bits that arrive."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from wavefoundry.csi.noise import add_noise
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.evaluation.feedback_options import Feedback
from wavefoundry.evaluation.metrics import nmse, spectral_efficiency
from wavefoundry.evaluation.results import sample_statistics
from wavefoundry.feedback.rates import feedback_bits
from wavefoundry.feedback.uplink import transmit
from wavefoundry.networks.capabilities import FeedbackCodec, GaussianBound


@dataclass(frozen=True)
class FeedbackScores:
    """How good recovered channels are, float64 (sample,) each.

    nmse: a power ratio, with the bit errors of the uplink; error_free: without any.
    similarity: cosine similarity, with bit errors.
    efficiency, perfect: [bit/s/Hz], with beams steered by what was recovered, and by the channel itself.
    """

    nmse: torch.Tensor
    error_free: torch.Tensor
    similarity: torch.Tensor
    efficiency: torch.Tensor
    perfect: torch.Tensor

    def rows(self) -> Iterator[dict]:
        """Metric and statistics of each figure."""
        named = {
            "nmse": self.nmse,
            "nmse_error_free": self.error_free,
            "cosine_similarity": self.similarity,
            "spectral_efficiency": self.efficiency,
            "spectral_efficiency_perfect": self.perfect,
        }
        for metric, values in named.items():
            yield {"metric": metric} | sample_statistics(values.numpy())


def cosine_similarity(found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """|h^H h_hat| / (|h| |h_hat|) over the antennas, mean over subcarriers: how well beams would be steered.

    Args:
        found, target: complex (sample, antenna, subcarrier). Where either is silent the similarity is 0.

    Returns:
        real float64 (sample,).
    """
    found, target = found.to(torch.complex128), target.to(torch.complex128)
    product = (target.conj() * found).sum(1).abs()
    norms = (target.abs().square().sum(1) * found.abs().square().sum(1)).sqrt()
    return torch.where(norms > 0, product / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0).mean(1)


def score(codec: FeedbackCodec, csi: torch.Tensor, rate: int, section: Feedback) -> FeedbackScores:
    """Feed back every sample.

    A user knows the channel with noise, and feeds it back up to its power, which the base station knows from other
    reports. Noise and bit errors are the same for every codec and rate of as many bits.

    Args:
        codec: what is judged.
        csi: complex64 (sample, antenna, subcarrier), without noise.
        rate: bits for every 16 channel entries.
        section: parameters of the evaluation.
    """
    generator = torch.Generator().manual_seed(section.noise_seed)
    known = add_noise(csi, section.snr_db, generator)
    sent = torch.cat([codec.encode(part, rate) for part in known.split(section.batch_size)])
    arrived = transmit(sent, section.uplink, generator)
    shape, scale = (csi.shape[1], csi.shape[2]), rms_scale(known)

    def recovered(bits: torch.Tensor) -> torch.Tensor:
        return torch.cat([codec.decode(part, shape) for part in bits.split(section.batch_size)]) * scale

    found = recovered(arrived)
    return FeedbackScores(
        nmse(found, csi),
        nmse(recovered(sent), csi),
        cosine_similarity(found, csi),
        spectral_efficiency(found[:, None], csi[:, None], section.beamforming_snr_db),
        spectral_efficiency(csi[:, None], csi[:, None], section.beamforming_snr_db),
    )


def rows_of(scores: FeedbackScores, codec: FeedbackCodec, csi: torch.Tensor, rate: int) -> Iterator[dict]:
    """Rows of the table of results of one codec, data set and rate, without these labels.

    Args:
        scores: what `score` gives with the other arguments.

    "bits" are those of one slot; "nmse_gaussian_bound" is there of codecs that know a covariance
    (`wavefoundry.networks.capabilities.GaussianBound`).
    """
    yield from scores.rows()
    bits = feedback_bits(rate, csi.shape[1], csi.shape[2])
    yield {"metric": "bits", "value": bits}
    if isinstance(codec, GaussianBound):
        yield {"metric": "nmse_gaussian_bound", "value": codec.bound(bits, (csi.shape[1], csi.shape[2]))}
