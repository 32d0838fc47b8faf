"""Feedback by a Karhunen-Loeve transform against what is known of Gaussians."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.feedback.codecs import check_a_sample_is_coded_alone, check_promises
from tests.networks.facts import facts
from tests.networks.karhunen_loeve.example import karhunen_loeve, options
from tests.networks.lmmse.example import InMemory, smooth
from wavefoundry.errors import InputError
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.networks.capabilities import GaussianBound
from wavefoundry.networks.karhunen_loeve.allocation import allocate, lloyd_max, reverse_water_filling
from wavefoundry.networks.karhunen_loeve.model import build

# Loss of a quantiser of fixed rate against the rate-distortion function of a Gaussian, for many levels: pi sqrt(3) / 2
# (Panter and Dite). 1.53 dB of these 4.35 dB are lost because cells are no balls, the rest because all words are of one
# length: there is no entropy code behind the quantisers.
PANTER_DITE_DB = 10 * math.log10(math.pi * math.sqrt(3) / 2)


SHAPE = (4, 16)


def gaussian(samples: int, seed: int = 0) -> torch.Tensor:
    """Complex64 (sample, 1, 4 antennas, 16 subcarriers): Gaussian, smooth over antennas and subcarriers."""
    generator = np.random.default_rng(seed)
    white = generator.normal(size=(2, samples, 4, 16)) / np.sqrt(2)
    roots = [
        np.linalg.cholesky(rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size))))
        for rho, size in ((0.9, 4), (0.95, 16))
    ]
    csi = np.einsum("nm,bmk,lk->bnl", roots[0], white[0] + 1j * white[1], roots[1])
    return torch.from_numpy(csi.astype(np.complex64))[:, None]


def test_quantisers_are_those_of_max():
    """The table of J. Max, 1960: 0.3634, 0.1175, 0.03454, 0.009497; thresholds and levels are symmetric."""
    for bits, error in ((1, 0.3634), (2, 0.1175), (3, 0.03454), (4, 0.009497)):
        thresholds, levels, found = lloyd_max(bits)
        assert found == pytest.approx(error, rel=1e-3)
        np.testing.assert_allclose(levels, -levels[::-1], atol=1e-9)
        np.testing.assert_allclose(thresholds, (levels[1:] + levels[:-1]) / 2)
    loss = [10 * math.log10(lloyd_max(bits)[2] * 4**bits) for bits in range(1, 9)]
    assert all(low < high for low, high in pairwise(loss))
    assert loss[0] == pytest.approx(1.61, abs=0.02) and PANTER_DITE_DB - 0.1 < loss[-1] < PANTER_DITE_DB


def test_water_filling_of_equal_components_is_the_textbook_formula():
    for count, bits in ((1, 3.0), (8, 8.0), (8, 20.0)):
        # Each complex component gets bits / count.
        assert reverse_water_filling(np.full(count, 2.0), bits) == pytest.approx(2 * count * 2 ** (-bits / count))
    # A weak component stays below the water.
    assert reverse_water_filling(np.array([4.0, 0.01]), 1.0) == pytest.approx(2.0 + 0.01)
    assert reverse_water_filling(np.array([4.0, 1.0]), 2.0) == pytest.approx(2.0)
    assert reverse_water_filling(np.array([3.0, 0.0]), 0.0) == pytest.approx(3.0)
    assert reverse_water_filling(np.zeros(3), 5.0) == 0


variances = st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=12).map(np.array)


@given(variances, st.integers(0, 60))
def test_water_filling_meets_its_own_conditions(values, bits):
    """The water level that the error tells spends exactly these bits."""
    error = reverse_water_filling(values, bits)
    low, high = 1e-30, values.max()
    for _ in range(200):
        level = math.sqrt(low * high)
        spent = np.log2(np.maximum(values / level, 1)).sum()
        low, high = (level, high) if spent > bits else (low, level)
    assert error == pytest.approx(np.minimum(values, level).sum(), rel=1e-6)


@given(variances, st.integers(0, 60))
def test_whole_bits_are_spent_where_no_move_of_one_would_help(values, bits):
    spent = allocate(values, bits)
    assert spent.sum() == min(bits, 8 * len(values)) and spent.max(initial=0) <= 8
    errors = [1.0, *(lloyd_max(count)[2] for count in range(1, 9))]
    gained = [
        value * (errors[count] - errors[count + 1]) for value, count in zip(values, spent, strict=True) if count < 8
    ]
    lost = [value * (errors[count - 1] - errors[count]) for value, count in zip(values, spent, strict=True) if count]
    assert not gained or not lost or max(gained) <= min(lost) * (1 + 1e-9)


def test_on_gaussians_it_comes_within_the_loss_of_scalar_quantisers_of_the_bound():
    """Samples that were not learnt from, without normalisation of the power, which would make them no Gaussians."""
    model, csi = karhunen_loeve(gaussian(20000)), gaussian(2000, seed=1)[:, 0]
    assert isinstance(model, GaussianBound)
    for rate in (1, 2, 4, 8, 12):
        bits = 4 * rate
        found = _coded(model, csi, rate)
        loss_db = 10 * math.log10(found / model.bound(bits, SHAPE))
        # Water-filling in whole bits costs little more: at small rates there are few choices.
        assert -0.3 < loss_db < PANTER_DITE_DB + 0.3, rate
        assert found == pytest.approx(model.transform(SHAPE).expected(bits), rel=0.08)
    assert [model.bound(bits, SHAPE) for bits in (8, 16, 32)] == sorted(
        (model.bound(bits, SHAPE) for bits in (8, 16, 32)), reverse=True
    )


def _coded(model, csi, rate) -> float:
    """Ratio of sums, for samples of unit power on average."""
    scale = csi.abs().square().mean((1, 2), keepdim=True).sqrt()
    found = model.decode(model.encode(csi, rate), (4, 16)) * scale
    return (nmse(found, csi)).mean().item()


def test_it_keeps_the_promises_of_codecs():
    model, csi = karhunen_loeve(), smooth(6, 1, 4, 16, seed=3)[:, 0]
    check_promises(model, csi)
    check_a_sample_is_coded_alone(model, csi)


def test_components_that_are_cut_are_told_in_the_expected_error():
    full, cut = karhunen_loeve(), karhunen_loeve(components=3)
    assert cut.transforms[0].directions.shape == (64, 3, 2)
    assert cut.transform(SHAPE).expected(48) >= full.transform(SHAPE).expected(48)
    assert cut.bound(48, SHAPE) == pytest.approx(full.bound(48, SHAPE))
    variances = cut.transform(SHAPE).variances
    left = variances[3:].sum() / variances.sum()
    assert cut.transform(SHAPE).expected(10_000) == pytest.approx(float(left), rel=0.01)
    csi = smooth(6, 1, 4, 16, seed=3)[:, 0]
    assert cut.decode(cut.encode(csi, 12), (4, 16)).isfinite().all()


def test_what_was_learnt_is_what_is_saved(tmp_path):
    model, csi = karhunen_loeve(), smooth(6, 1, 4, 16, seed=3)[:, 0]
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModel.from_pretrained(tmp_path).encode(csi, 5), model.encode(csi, 5))


def test_power_does_not_count_and_time_is_pooled():
    csi = smooth(100, 3, 4, 16)
    one, other = karhunen_loeve(csi), karhunen_loeve(1e-4 * csi.flatten(0, 1)[:, None])
    torch.testing.assert_close(one.transform(SHAPE).variances, other.transform(SHAPE).variances, rtol=1e-3, atol=1e-4)


def test_each_size_has_a_transform_of_its_own():
    parts = [smooth(100, 2, 4, 16), smooth(100, 2, 8, 8, seed=1)]
    both = build(options(sizes=[[4, 16], [8, 8]]), 1.0).eval()
    both.learn(InMemory(parts), 0)
    for part in parts:
        slots, shape = part[:5, 0], (part.shape[2], part.shape[3])
        alone = karhunen_loeve(part, sizes=[list(shape)])
        assert torch.equal(both.encode(slots, 5), alone.encode(slots, 5))
        assert both.bound(20, shape) == alone.bound(20, shape)
    with pytest.raises(InputError, match="sizes has 8 x 8, but no sample has so many"):
        build(options(sizes=[[4, 16], [8, 8]]), 1.0).learn(InMemory(parts[:1]), 0)


def test_other_sizes_are_refused_in_words():
    assert options().why_not(facts(slots=3, antennas=4, subcarriers=16)) is None
    reason = options().why_not_feed_back(facts(antennas=8, subcarriers=16))
    assert reason == "8 antennas x 16 subcarriers; there are transforms of 4 x 16"
    assert "less than the 16 entries" in options(sizes=[[4, 2]]).why_not(facts(antennas=4, subcarriers=2))
    with pytest.raises(ValidationError, match="must be distinct"):
        options(sizes=[[4, 16], [4, 16]])
    with pytest.raises(InputError, match="8 antennas x 16 subcarriers; there are transforms of 4 x 16"):
        karhunen_loeve().encode(torch.ones(1, 8, 16, dtype=torch.complex64), 3)
