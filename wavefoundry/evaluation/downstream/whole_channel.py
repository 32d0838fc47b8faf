"""The best linear estimate of a whole channel, learnt from clean ones: what heads on single patches are set against.

Source: O. Edfors et al., "OFDM Channel Estimation by Singular Value Decomposition", IEEE Transactions on Communications
46(7), 1998. A covariance of so many entries is not to be had from few samples, so that it is drawn towards one of which
antennas and subcarriers each need a row: O. Ledoit and M. Wolf, "A Well-Conditioned Estimator for Large-Dimensional
Covariance Matrices", Journal of Multivariate Analysis 88(2), 2004. Theirs is a multiple of the unit matrix.
"""

from collections.abc import Sequence

import torch

from wavefoundry.csi.covariances import lifted, toeplitz
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.evaluation.downstream.examples import NMSE, SplitStatistics
from wavefoundry.evaluation.downstream.samples import labelled_subset
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import ChannelTask
from wavefoundry.evaluation.metrics import nmse

LOADING = 1e-6  # of the power, on the diagonal of matrices that are inverted: they may have no full rank


class Covariances:
    """Covariances of the entries of channels, from some of them.

    Args:
        csi: complex (sample, antenna, subcarrier); every sample is scaled to unit power and counts the same.
    """

    def __init__(self, csi: torch.Tensor):
        self.shape = (csi.shape[1], csi.shape[2])
        entries = (csi / rms_scale(csi)).flatten(1).to(torch.complex128)
        self.measured = entries.mT @ entries.conj() / len(entries)
        by_axis = self.measured.unflatten(1, self.shape).unflatten(0, self.shape)
        antennas = by_axis.diagonal(dim1=1, dim2=3).mean(-1)
        subcarriers = by_axis.diagonal(dim1=0, dim2=2).mean(-1)
        # The power, which is 1, is in both factors.
        self.stationary = torch.kron(*(lifted(toeplitz(_lags(one)), 0.0) for one in (antennas, subcarriers)))

    def mixed(self, share: float) -> torch.Tensor:
        """The measured covariance with a share of the stationary one: complex128 (entry, entry)."""
        return (1 - share) * self.measured + share * self.stationary


def _lags(matrix: torch.Tensor) -> torch.Tensor:
    """Means over the diagonals of a Hermitian matrix on and below the main one: (distance,)."""
    return torch.stack([matrix.diagonal(-distance).mean() for distance in range(len(matrix))])


def estimator(covariance: torch.Tensor, known: torch.Tensor, noise: float) -> torch.Tensor:
    """The matrix that makes of known entries the linear estimate of all of least mean square error.

    R_ay (R_yy + noise I)^-1, with R_yy the covariance of the known entries and R_ay that of all with these.

    Args:
        covariance: complex (entry, entry).
        known: bool (entry,).
        noise: variance on the known entries.

    Returns:
        complex (entry, known entry).
    """
    rows = covariance[known]
    loaded = rows[:, known] + (noise + LOADING) * torch.eye(len(rows), dtype=covariance.dtype)
    return torch.linalg.solve(loaded, rows).mH


def estimate(matrix: torch.Tensor, csi: torch.Tensor, known: torch.Tensor, noise: float) -> torch.Tensor:
    """All entries from the known ones; a silent channel is estimated as silence.

    Args:
        matrix: of `estimator`.
        csi: complex (sample, antenna, subcarrier) of which the known entries are read.
        known, noise: as for `estimator`, noise relative to the power of each channel.
    """
    seen = csi.flatten(1)[:, known].to(matrix.dtype)
    # Covariances are those of channels of unit power.
    power = seen.abs().square().mean(1, keepdim=True) / (1 + noise)
    scale = power.clamp_min(torch.finfo(power.dtype).tiny).sqrt()
    return ((seen / scale) @ matrix.mT * scale).unflatten(1, csi.shape[1:]).to(csi.dtype)


def score_whole_channel(
    task: ChannelTask, snapshots: Snapshots, fraction: float, seeds: Sequence[int], shares: Sequence[float]
) -> list[SplitStatistics]:
    """{"validation": {"nmse": ratios}, "test": {"nmse": ratios}} for each seed.

    Args:
        task: says which entries are known, and with how much noise.
        snapshots: all channels.
        fraction: share of the training rows whose clean channels are known.
        seeds: of their draw.
        shares: of the stationary covariance; the one that is best on the validation split is taken.
    """
    known = torch.from_numpy(task.lattice(*snapshots.csi.shape[1:])).flatten()
    degraded = task.known(snapshots.csi)

    def errors(matrix: torch.Tensor, split: str) -> torch.Tensor:
        rows = snapshots.rows[split]
        return nmse(estimate(matrix, degraded[rows], known, task.noise), snapshots.csi[rows])

    def scored(seed: int) -> SplitStatistics:
        covariances = Covariances(snapshots.csi[labelled_subset(snapshots.rows["train"], fraction, seed)])
        matrices = (estimator(covariances.mixed(share), known, task.noise) for share in shares)
        found = [(errors(matrix, "validation"), matrix) for matrix in matrices]
        validation, best = min(found, key=lambda one: one[0].mean().item())
        return {"validation": {NMSE: validation.numpy()}, "test": {NMSE: errors(best, "test").numpy()}}

    # All labels are the same labels for every seed.
    drawn = seeds[:1] if fraction == 1 else seeds
    return [scored(seed) for seed in drawn] * (len(seeds) // len(drawn))
