"""Tracks between keys: exact where the motion is a cubic, continuous, and silent before birth and after death."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.csi.tracks import Tracks, evolve

CARRIER = 3.5e9
LIGHT = 299792458.0


def tracks(amplitude, delay, doppler, direction, valid) -> Tracks:
    """One link with one path and one polarisation; arguments along keys."""
    keys = len(delay)
    return Tracks(
        amplitude=torch.as_tensor(amplitude, dtype=torch.complex64).reshape(1, keys, 1, 1),
        delay=torch.as_tensor(delay, dtype=torch.float64).reshape(1, keys, 1),
        doppler=torch.as_tensor(doppler, dtype=torch.float64).reshape(1, keys, 1),
        direction=torch.as_tensor(direction, dtype=torch.float64).reshape(1, keys, 1, 3),
        valid=torch.as_tensor(valid).reshape(1, keys, 1),
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(-60, 60), st.floats(-400, 400), st.floats(0, 1), st.integers(2, 4))
def test_uniform_acceleration_is_exact(acceleration, doppler, start, keys):
    """A quadratic phase is a cubic: nothing but rounding may differ, over many turns between the keys."""
    times = torch.arange(31, dtype=torch.float64) * 5e-4
    key_times = torch.linspace(0, float(times[-1]), keys, dtype=torch.float64)

    def phase(time):
        return start + doppler * time + 0.5 * acceleration * time**2

    found = evolve(
        tracks(
            torch.polar(torch.full((keys,), 0.3), (2 * np.pi * phase(key_times)).float() % (2 * np.pi)),
            3e-7 - phase(key_times) / CARRIER, doppler + acceleration * key_times,
            [[0.0, 1.0, 0.0]] * keys, [True] * keys,
        ),
        key_times, times, CARRIER,
    )  # fmt: skip
    expected = 0.3 * torch.exp(2j * np.pi * phase(times))
    torch.testing.assert_close(found.gain[0, :, 0, 0].to(torch.complex128), expected, atol=3e-6, rtol=0)
    # The chord of the delay is off by at most the sagitta of the parabola.
    sagitta = abs(acceleration) * (float(times[-1]) / (keys - 1)) ** 2 / 8 / CARRIER
    assert (found.delay[0, :, 0] - (3e-7 - phase(times) / CARRIER)).abs().max() <= sagitta + 1e-18


def test_a_passing_user_at_thirty_metres_per_second():
    """Distance to a mast 20 m beside the road, keys 7.5 ms apart: the path in between within -60 dB."""
    times = torch.arange(16, dtype=torch.float64) * 5e-4
    x = -5 + 30.0 * times
    distance = torch.sqrt(x**2 + 20**2)
    keys = torch.tensor([0, 15])
    gain = torch.polar(1 / distance, torch.remainder(-2 * np.pi * CARRIER / LIGHT * distance, 2 * np.pi))
    doppler = -CARRIER / LIGHT * 30.0 * x / distance
    direction = torch.stack([x / distance, 20 / distance, 0 * x], -1)
    found = evolve(
        tracks(gain[keys].to(torch.complex64), (distance / LIGHT)[keys], doppler[keys], direction[keys], [True, True]),
        times[keys], times, CARRIER,
    )  # fmt: skip
    error = (found.gain[0, :, 0, 0] - gain).abs().square().sum() / gain.abs().square().sum()
    assert 10 * torch.log10(error) < -60
    torch.testing.assert_close(found.direction[0, :, 0], direction, atol=2e-5, rtol=0)


def test_birth_and_death_fade_along_their_own_rates():
    times = torch.arange(5, dtype=torch.float64) * 1e-3
    key_times = times[[0, 2, 4]]
    found = evolve(
        tracks([0, 0.5, 0], [0, 4e-7, 0], [0, 90.0, 0], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], [False, True, False]),
        key_times, times, CARRIER,
    )  # fmt: skip
    gain = found.gain[0, :, 0, 0]
    torch.testing.assert_close(gain.abs(), torch.tensor([0, 0.25, 0.5, 0.25, 0]))
    turns = gain[[1, 2, 3]].angle() / (2 * np.pi)
    torch.testing.assert_close(turns, torch.tensor([-0.09, 0, 0.09]), atol=1e-6, rtol=0)
    expected = 4e-7 - 90.0 / CARRIER * (times - times[2])
    torch.testing.assert_close(found.delay[0, 1:4, 0], expected[1:4], atol=1e-18, rtol=0)
    torch.testing.assert_close(found.direction[0, 1:4, 0], torch.tensor([[0.0, 0, 1]] * 3).double())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4))
def test_keys_are_met_exactly(seed, keys):
    generator = np.random.default_rng(seed)
    times = torch.arange(3 * (keys - 1) + 1, dtype=torch.float64) * 5e-4
    amplitude = generator.normal(size=keys) + 1j * generator.normal(size=keys)
    direction = generator.normal(size=(keys, 3))
    delay, doppler = generator.uniform(0, 1e-6, keys), generator.uniform(-300, 300, keys)
    found = evolve(tracks(amplitude, delay, doppler, direction, [True] * keys), times[::3], times, CARRIER)
    expected = torch.from_numpy(amplitude).to(torch.complex64)
    torch.testing.assert_close(found.gain[0, ::3, 0, 0], expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(found.delay[0, ::3, 0], torch.from_numpy(delay))
    torch.testing.assert_close(found.direction[0, ::3, 0], torch.from_numpy(direction))


def test_one_key_holds_for_the_window():
    times = torch.arange(4, dtype=torch.float64) * 1e-3
    found = evolve(tracks([0.5j], [4e-7], [100.0], [[1.0, 0, 0]], [True]), times[:1], times, CARRIER)
    torch.testing.assert_close(
        found.gain[0, :, 0, 0], (0.5 * torch.exp(2j * np.pi * (0.25 + 100.0 * times))).to(torch.complex64)
    )
    assert found.delay.shape[1] == found.direction.shape[1] == 1
