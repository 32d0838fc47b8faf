"""Covariance matrices of stationary series."""

import torch


def toeplitz(lags: torch.Tensor) -> torch.Tensor:
    """Hermitian matrices of covariances that depend on the distance of two steps alone.

    Args:
        lags: complex (..., distance), of step n with step n - distance.

    Returns:
        complex (..., step, step).
    """
    difference = torch.arange(lags.shape[-1])[:, None] - torch.arange(lags.shape[-1])
    matrices = lags[..., difference.abs()]
    return torch.where(difference < 0, matrices.conj(), matrices)


def lifted(matrices: torch.Tensor, floor: float) -> torch.Tensor:
    """Hermitian matrices (..., step, step) with eigenvalues below `floor` set to it."""
    values, vectors = torch.linalg.eigh((matrices + matrices.mH) / 2)
    return (vectors * values.clamp_min(floor)[..., None, :].to(vectors.dtype)) @ vectors.mH
