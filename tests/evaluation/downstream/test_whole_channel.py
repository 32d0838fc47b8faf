"""The estimate from a whole channel against the closed form, where channels are Gaussian with a known covariance."""

import numpy as np
import pytest
import torch

from tests.evaluation.downstream.example import example_task, snapshots_of
from wavefoundry.evaluation.downstream.whole_channel import (
    LOADING,
    Covariances,
    estimate,
    estimator,
    score_whole_channel,
)
from wavefoundry.evaluation.metrics import to_db

ANTENNAS, SUBCARRIERS = 6, 12


def correlation(size: int, one: complex) -> torch.Tensor:
    """Of an autoregression of order one: one^(n - m) below the diagonal, its conjugate above."""
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    return torch.from_numpy(np.where(distance >= 0, one ** np.abs(distance), np.conj(one) ** np.abs(distance)))


def kronecker() -> torch.Tensor:
    return torch.kron(correlation(ANTENNAS, 0.9 * np.exp(0.4j)), correlation(SUBCARRIERS, 0.8 * np.exp(-1j)))


def rotated(seed: int = 0) -> torch.Tensor:
    """A covariance of few strong directions that is the same at no two distances; of unit mean power."""
    generator = torch.Generator().manual_seed(seed)
    size = ANTENNAS * SUBCARRIERS
    vectors, _ = torch.linalg.qr(torch.randn(size, size, dtype=torch.complex128, generator=generator))
    powers = 0.8 ** torch.arange(size, dtype=torch.float64)
    return (vectors * (powers / powers.mean())) @ vectors.mH


def draw(covariance: torch.Tensor, count: int, seed: int = 1) -> torch.Tensor:
    """Channels (sample, antenna, subcarrier) of this covariance."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(count, len(covariance), dtype=torch.complex128, generator=generator)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0).sqrt()
    return (white @ root.mT).unflatten(1, (ANTENNAS, SUBCARRIERS)).to(torch.complex64)


def closed_form_db(covariance: torch.Tensor, known: torch.Tensor, noise: float) -> float:
    """tr(R - R_ay (R_yy + noise I)^-1 R_ya) / tr(R)."""
    cross = covariance[:, known]
    loaded = covariance[known][:, known] + noise * torch.eye(int(known.sum()))
    left = covariance - cross @ torch.linalg.inv(loaded) @ cross.mH
    return to_db(float(left.diagonal().sum().real / covariance.diagonal().sum().real))


@pytest.mark.parametrize(("name", "changes"), [("interpolation", {"pilot_spacing": [2, 3]}),
                                               ("estimation", {"snr_db": 5.0})])  # fmt: skip
@pytest.mark.parametrize(("truth", "share", "tolerance"), [(kronecker(), 1.0, 0.1), (rotated(), 0.001, 0.25)])
def test_the_error_is_that_of_the_closed_form(name, changes, truth, share, tolerance):
    """A ratio of sums over new channels. The closed form has one noise for all, here it follows a channel's power."""
    task = example_task(name, **changes)
    known = torch.from_numpy(task.lattice(ANTENNAS, SUBCARRIERS)).flatten()
    matrix = estimator(Covariances(draw(truth, 3000)).mixed(share), known, task.noise)
    tested = draw(truth, 3000, seed=2)
    found = estimate(matrix, task.known(tested), known, task.noise)
    error = to_db(float((found - tested).abs().square().sum() / tested.abs().square().sum()))
    assert error == pytest.approx(closed_form_db(truth, known, task.noise), abs=tolerance)


def test_of_few_channels_the_validation_split_takes_the_stationary_covariance_and_of_many_the_measured_one():
    task = example_task("estimation", snr_db=5.0)

    def reached(truth: torch.Tensor, shares: list[float]) -> float:
        found = score_whole_channel(task, snapshots_of(draw(truth, 1500)), 0.05, [0], shares)
        return to_db(float(found[0]["test"]["nmse"].mean()))

    # 45 channels of 72 entries.
    stationary = kronecker()
    assert reached(stationary, [0.001, 1.0]) == reached(stationary, [1.0]) < reached(stationary, [0.001]) - 1
    other = rotated()
    assert reached(other, [0.1, 1.0]) == reached(other, [0.1]) < reached(other, [1.0]) - 1


def test_it_beats_one_map_for_every_patch_on_channels_that_patches_do_not_hold():
    from wavefoundry.evaluation.downstream.channels import channel_examples, score_channel_head
    from wavefoundry.evaluation.downstream.inputs import Input, RawChannel

    task, some = example_task("interpolation", pilot_spacing=[2, 3]), snapshots_of(draw(rotated(), 600))
    source = Input(RawChannel(), 3)
    examples = channel_examples(source, source.embed(task.known(some.csi)), some, np.arange(600))
    patches = score_channel_head(examples, 1.0, 0, [1e-6, 1e-4])["test"]["nmse"].mean()
    whole = score_whole_channel(task, some, 1.0, [0, 1], [0.01, 1.0])
    assert whole[0]["test"]["nmse"].mean() < patches / 2
    # All labels are the same labels for every seed.
    assert len(whole) == 2 and whole[0] is whole[1]


def test_scale_changes_nothing_and_silence_stays_silent():
    task = example_task("estimation", snr_db=10.0)
    known = torch.ones(ANTENNAS * SUBCARRIERS, dtype=torch.bool)
    channels = draw(kronecker(), 40)
    scale = torch.logspace(-6, 3, 40)[:, None, None]
    matrices = [estimator(Covariances(some).mixed(0.5), known, task.noise) for some in (channels, scale * channels)]
    torch.testing.assert_close(*matrices, rtol=1e-4, atol=1e-5)
    found = [estimate(matrices[0], some, known, task.noise) for some in (channels, scale * channels)]
    torch.testing.assert_close(scale * found[0], found[1], rtol=1e-4, atol=0)
    assert estimate(matrices[0], 0 * channels, known, task.noise).abs().max() == 0


def test_what_is_known_without_noise_stays_as_it_is():
    task = example_task("interpolation", pilot_spacing=[2, 3])
    lattice = torch.from_numpy(task.lattice(ANTENNAS, SUBCARRIERS))
    channels = draw(kronecker(), 50)
    assert torch.equal(task.known(channels) != 0, lattice.expand(50, -1, -1))
    matrix = estimator(kronecker(), lattice.flatten(), 0.0)
    found = estimate(matrix, task.known(channels), lattice.flatten(), 0.0)
    torch.testing.assert_close(found[:, lattice], channels[:, lattice], rtol=0, atol=100 * LOADING)
