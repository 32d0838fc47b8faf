"""Expectation maximisation of a mixture of zero-mean complex Gaussians, from series of several lengths."""

import math
from collections.abc import Callable

import torch

from wavefoundry.csi.covariances import lifted, toeplitz

CHUNK = 2048  # series whose products are in memory at once


def fit(
    groups: list[torch.Tensor],
    length: int,
    components: int,
    iterations: int,
    floor: float,
    generator: torch.Generator,
    on_iteration: Callable[[float], None],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and covariances of the mixture.

    Shorter series are series of `length` whose last steps were not seen: their expectations take their place, as in any
    expectation maximisation. Among covariances without an eigenvalue below `floor`, the likeliest one is the scatter
    with smaller eigenvalues set to `floor`; so the likelihood never falls.

    Args:
        groups: complex64 (series, step), of at most `length` steps, one tensor for each number of steps.
        length: steps of the covariances.
        components: number of Gaussians.
        iterations: number of steps.
        floor: least eigenvalue of a covariance.
        generator: draws the series that the components start from.
        on_iteration: called with the perplexity of each step, exp(- mean log-likelihood of an entry), which never
            rises.

    Returns:
        float64 (component), of sum 1, and complex128 (component, step, step).
    """
    covariances = lifted(start(groups, length, components, generator), floor)
    weights = torch.full((components,), 1 / components, dtype=torch.float64)
    entries = sum(group.numel() for group in groups)
    for _ in range(iterations):
        scatter, counts, likelihood = expectation(groups, weights, covariances)
        on_iteration(math.exp(-likelihood / entries))
        # A component that explains nothing stays as it was.
        used = counts > 1e-6
        scatter = scatter / counts.clamp_min(1e-6)[:, None, None]
        covariances = torch.where(used[:, None, None], lifted(scatter, floor), covariances)
        weights = counts / counts.sum()
    return weights, covariances


def start(groups: list[torch.Tensor], length: int, components: int, generator: torch.Generator) -> torch.Tensor:
    """The autocovariances of single series, drawn at random, as covariances; complex128 (component, step, step).

    Drawn as in k-means++, which prefers series that are unlike those drawn before, the components of channels become
    kinds that are rare, and predictions worse by up to 3 dB.
    """
    lags = torch.cat([_autocovariances(group, length) for group in groups])
    drawn = torch.randperm(len(lags), generator=generator)
    drawn = drawn[torch.arange(components) % len(drawn)]  # some again where there are fewer series than components
    return toeplitz(lags[drawn].to(torch.complex128))


def _autocovariances(series: torch.Tensor, length: int) -> torch.Tensor:
    """Complex (series, lag) for lags below `length`, 0 from the number of steps on; a matrix of them is definite."""
    spectrum = torch.fft.fft(series, n=2 * length).abs().square()
    return torch.fft.ifft(spectrum)[:, :length] / series.shape[1]


def expectation(
    groups: list[torch.Tensor], weights: torch.Tensor, covariances: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Expected scatter (component, step, step) and number of series (component), and the log-likelihood of all."""
    components = len(covariances)
    scatter, counts, likelihood = torch.zeros_like(covariances), torch.zeros_like(weights), 0.0
    for group in groups:
        steps = group.shape[1]
        seen = covariances[:, :steps, :steps]
        factor = torch.linalg.cholesky(seen)
        log_determinants = 2 * factor.diagonal(dim1=1, dim2=2).real.log().sum(1)
        constants = weights.clamp_min(torch.finfo(torch.float64).tiny).log() - log_determinants
        constants = constants - steps * math.log(math.pi)
        whitening = torch.linalg.inv(factor).to(torch.complex64).reshape(-1, steps).T
        seen_scatter, seen_counts = torch.zeros_like(seen), torch.zeros_like(counts)
        for part in group.split(CHUNK):
            white = torch.view_as_real(part @ whitening).square().sum(-1)
            joint = constants - white.view(len(part), components, steps).sum(-1).double()
            total = joint.logsumexp(1)
            likelihood += float(total.sum())
            shares = (joint - total[:, None]).exp()
            seen_counts += shares.sum(0)
            shared = shares.T.float()[:, :, None] * part
            seen_scatter += shared.transpose(1, 2) @ part.conj()
        counts += seen_counts
        # The steps that were not seen: what the seen ones say of them, and how uncertain that is.
        gain = covariances[:, steps:, :steps] @ torch.cholesky_inverse(factor)
        left = covariances[:, steps:, steps:] - gain @ covariances[:, :steps, steps:]
        told = gain @ seen_scatter
        scatter[:, :steps, :steps] += seen_scatter
        scatter[:, steps:, :steps] += told
        scatter[:, :steps, steps:] += told.mH
        scatter[:, steps:, steps:] += told @ gain.mH + seen_counts[:, None, None] * left
    return scatter, counts, likelihood
