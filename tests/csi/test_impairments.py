"""What can be wrong with a known block: power, delay, rank and statistics are those asked for."""

import math

import pytest
import torch
from pydantic import TypeAdapter

from wavefoundry.csi.impairment_options import ImpairmentOptions
from wavefoundry.csi.impairments import (
    Impairment,
    burst,
    common_phase_error,
    delayed,
    dropped_slots,
    independent_phase,
    interference,
    phase_walk,
    timing_jitter,
)

SPACING, SLOT = 180e3, 5e-4
DEGREES = {
    "independent_phase": {"deviation": 0.3},
    "common_phase_error": {"deviation": 0.3},
    "phase_walk": {"linewidth": 30.0},
    "timing_jitter": {"deviation": 1e-7},
    "burst": {"degree": 0.29},
    "interference": {"sir_db": 10.0},
    "dropped_slots": {"probability": 0.3},
}
PHASES = ("independent_phase", "common_phase_error", "phase_walk", "timing_jitter")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def csi(samples=8, slots=8, antennas=4, subcarriers=16):
    """Samples of very different powers."""
    scales = torch.logspace(-6, 3, samples)[:, None, None, None]
    return scales * torch.randn(samples, slots, antennas, subcarriers, dtype=torch.complex64, generator=generator(7))


def impairment(kind, **degree):
    options = TypeAdapter(ImpairmentOptions).validate_python({"kind": kind, **(degree or DEGREES[kind])})
    return Impairment(options, SLOT, SPACING)


def power(block):
    return block.abs().square().double().mean((1, 2, 3))


@pytest.mark.parametrize("kind", DEGREES)
def test_a_seed_decides_and_what_was_given_stays(kind):
    clean = csi()
    found = impairment(kind).apply(clean, generator(1))
    assert found.dtype == torch.complex64 and found.shape == clean.shape
    assert torch.equal(clean, csi()) and not torch.equal(found, clean)
    assert torch.equal(impairment(kind).apply(clean, generator(1)), found)
    assert not torch.equal(impairment(kind).apply(clean, generator(2)), found)


@pytest.mark.parametrize("kind", DEGREES)
def test_every_impairment_follows_the_scale_of_a_sample(kind):
    clean = csi()
    found, of_large = (impairment(kind).apply(block, generator()) for block in (clean, 1024 * clean))
    assert torch.allclose(of_large, 1024 * found, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [kind for kind in DEGREES if kind != "interference"])
def test_degree_zero_changes_nothing(kind):
    clean = csi()
    assert torch.equal(impairment(kind, **dict.fromkeys(DEGREES[kind], 0.0)).apply(clean, generator()), clean)


@pytest.mark.parametrize("kind", DEGREES)
def test_silence_stays_silent(kind):
    silent = torch.zeros(2, 4, 4, 8, dtype=torch.complex64)
    assert torch.equal(impairment(kind).apply(silent, generator()), silent)


@pytest.mark.parametrize("kind", PHASES)
def test_phases_keep_the_magnitude_of_every_entry(kind):
    clean = csi()
    assert torch.allclose(impairment(kind).apply(clean, generator()).abs(), clean.abs(), rtol=1e-5)


@pytest.mark.parametrize("slots", [1, 2, 16])
@pytest.mark.parametrize("kind", DEGREES)
def test_blocks_of_few_slots_and_one_subcarrier_can_be_impaired(kind, slots):
    assert impairment(kind).apply(csi(3, slots, 1, 1), generator()).isfinite().all()


@pytest.mark.parametrize(("deviation", "snr_db"), [(0.32, 10), (0.18, 15), (0.10, 20), (0.056, 25)])
def test_independent_phases_have_the_published_error(deviation, snr_db):
    clean = csi(64, 16, 8, 32)
    error = power(independent_phase(clean, deviation, generator()) - clean) / power(clean)
    assert 10 * error.mean().log10() == pytest.approx(-snr_db, abs=0.24)
    # Neighbours are turned by phases of their own.
    turned = (independent_phase(clean, deviation, generator()) / clean).angle()
    assert abs((turned[..., 1:] * turned[..., :-1]).mean()) < 0.02 * deviation**2
    assert turned.std().item() == pytest.approx(deviation, rel=0.01)


@pytest.mark.parametrize(("degree", "snr_db"), [(0.29, 10), (0.16, 15), (0.09, 20), (0.054, 25)])
def test_bursts_have_the_published_error(degree, snr_db):
    clean = csi(2000, 16, 2, 8)
    error = power(burst(clean, degree, generator()) - clean) / power(clean)
    assert 10 * error.mean().log10() == pytest.approx(-snr_db, abs=0.5)


def test_a_burst_is_one_run_of_at_most_ten_slots_strongest_in_its_middle():
    clean = csi(2000, 16, 4, 32)
    error = (burst(clean, 0.25, generator()) - clean).abs().square().mean((2, 3)) / power(clean)[:, None]
    hit = error > 1e-6
    lengths = hit.sum(1)
    # 2 degree is 1/2: there is none in 2 ^ -17 of the samples.
    assert lengths.max() == 10 and lengths.min() >= 1
    assert ((hit[:, 1:] & ~hit[:, :-1]).sum(1) + hit[:, 0] == 1).all()
    # Seven of the sixteen first slots leave ten to go.
    assert (lengths == 10).float().mean().item() == pytest.approx(7 / 16, abs=0.04)
    whole = error[hit & (lengths == 10)[:, None]].reshape(-1, 10).mean(0)
    x = torch.linspace(-1, 1, 10, dtype=torch.float64)
    assert torch.allclose(whole, 0.25 * torch.exp(-(x**2)), rtol=0.05)


def test_a_common_phase_error_is_that_of_its_slot():
    clean = csi(500, 8, 2, 4)
    turns = common_phase_error(clean, 0.2, generator()) / clean
    assert torch.allclose(turns, turns[:, :, :1, :1].expand_as(turns), atol=1e-5)
    phase = turns[:, :, 0, 0].angle()
    assert phase.std().item() == pytest.approx(0.2, rel=0.05)
    assert abs((phase[:, 1:] * phase[:, :-1]).mean()) < 0.05 * 0.2**2


def test_the_variance_of_a_phase_walk_grows_with_the_time_to_the_last_slot():
    clean = csi(4000, 8, 1, 2)
    turns = phase_walk(clean, 20.0, SLOT, generator()) / clean
    assert torch.allclose(turns, turns[..., :1].expand_as(turns), atol=1e-5)
    assert torch.allclose(turns[:, -1], torch.ones_like(turns[:, -1]))
    variance = turns[:, :, 0, 0].angle().var(0)
    expected = 2 * math.pi * 20.0 * SLOT * torch.arange(7, -1, -1)
    assert torch.allclose(variance, expected, rtol=0.08)


@pytest.mark.parametrize("bins", [-3, 0, 1, 5])
def test_a_delay_moves_the_peak_by_as_much(bins):
    """Of one path at delay bin 8 of 32."""
    subcarriers = torch.arange(32)
    path = torch.exp(-2j * math.pi * 8 * subcarriers / 32).expand(1, 2, 3, 32)
    late = delayed(path, torch.full((1, 2), bins / (32 * SPACING)), SPACING)
    peaks = torch.fft.ifft(late, dim=-1).abs().argmax(-1)
    assert (peaks == 8 + bins).all()


def test_jitter_is_a_delay_of_each_slot_and_turns_nothing_in_the_middle_of_the_band():
    clean = csi(3000, 2, 2, 9)
    turns = timing_jitter(clean, 2e-7, SPACING, generator()) / clean
    assert torch.allclose(turns, turns[:, :, :1].expand_as(turns), atol=1e-5)
    assert torch.allclose(turns[..., 4], torch.ones_like(turns[..., 4]))
    delays = -(turns[:, :, 0, 1:] * turns[:, :, 0, :-1].conj()).angle() / (2 * math.pi * SPACING)
    assert torch.allclose(delays, delays[..., :1].expand_as(delays), atol=1e-11)
    assert delays[..., 0].std().item() == pytest.approx(2e-7, rel=0.05)
    assert abs((delays[:, 0, 0] * delays[:, 1, 0]).mean()) < 0.1 * (2e-7) ** 2


@pytest.mark.parametrize("sir_db", [-5.0, 0.0, 15.0])
def test_interference_has_the_power_asked_for_and_is_of_rank_one_in_space(sir_db):
    clean = csi(6, 8, 6, 16).to(torch.complex128)
    wave = interference(clean, sir_db, generator()) - clean
    assert torch.allclose(10 * (power(clean) / power(wave)).log10(), torch.tensor(sir_db).double())
    singular = torch.linalg.svdvals(wave.transpose(1, 2).flatten(2))
    assert (singular[:, 1:] < 1e-10 * singular[:, :1]).all()
    # What the interferer sends is no channel: it is as strong in every slot, and unlike from one to the next.
    alike = (wave[:, 1:] * wave[:, :-1].conj()).mean((1, 2, 3)).abs() / power(wave)
    assert (alike < 0.5).all()


def test_slots_are_dropped_whole_and_as_often_as_asked():
    clean = csi(4000, 8, 2, 3)
    found = dropped_slots(clean, 0.1, generator())
    silent = (found == 0).all(-1).all(-1)
    assert silent.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(found[~silent], clean[~silent])
    # Neighbours go by themselves.
    assert (silent[:, 1:] & silent[:, :-1]).float().mean().item() == pytest.approx(0.01, abs=0.004)
