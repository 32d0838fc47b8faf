"""Energy, inversion and peaks of the angle-delay transform."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.errors import InputError

shapes = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 6), st.integers(2, 12))


def draw(array, subcarriers, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, math.prod(array), subcarriers, dtype=torch.complex128, generator=generator)


@given(shapes, st.integers(0, 99))
def test_energy_is_kept_and_the_inverse_is_exact(shape, seed):
    *array, subcarriers = shape
    csi = draw(array, subcarriers, seed)
    maps = to_angle_delay(csi, array, subcarriers)
    assert torch.allclose(maps.abs().square().sum(), csi.abs().square().sum())
    assert torch.allclose(to_csi(maps, array, subcarriers), csi)


@given(shapes, st.integers(0, 99), st.data())
def test_truncation_is_a_projection(shape, seed, data):
    *array, subcarriers = shape
    kept = data.draw(st.integers(1, subcarriers))
    csi = draw(array, subcarriers, seed)
    once = to_csi(to_angle_delay(csi, array, kept), array, subcarriers)
    twice = to_csi(to_angle_delay(once, array, kept), array, subcarriers)
    assert torch.allclose(once, twice)
    # What was cut is orthogonal to what is kept.
    assert torch.allclose((csi - once).abs().square().sum() + once.abs().square().sum(), csi.abs().square().sum())


@given(st.integers(2, 16), st.integers(2, 32), st.data())
def test_one_path_peaks_at_its_angle_and_delay(antennas, subcarriers, data):
    angle_bin = data.draw(st.integers(0, antennas - 1))
    delay_bin = data.draw(st.integers(0, subcarriers - 1))
    spacing = 180e3
    delay = delay_bin / (subcarriers * spacing)
    steering = torch.exp(2j * math.pi * torch.arange(antennas) * angle_bin / antennas)
    response = torch.exp(-2j * math.pi * torch.arange(subcarriers) * spacing * delay)
    maps = to_angle_delay(steering[:, None] * response, (1, 1, antennas), subcarriers)
    assert int(maps.abs().argmax()) == angle_bin * subcarriers + delay_bin
    assert torch.allclose(maps[angle_bin, delay_bin].abs() ** 2, torch.tensor(float(antennas * subcarriers)), rtol=1e-4)


def test_planar_array_peaks_on_both_axes():
    rows, columns = 4, 8
    steering = torch.exp(2j * math.pi * (torch.arange(rows)[:, None] * 1 / rows + torch.arange(columns) * 5 / columns))
    # The same wave in the second polarisation, the first one silent.
    csi = torch.cat([torch.zeros(rows * columns, 1), steering.reshape(-1, 1)])
    maps = to_angle_delay(csi, (2, rows, columns), 1)
    assert int(maps.abs().argmax()) == rows * columns + 1 * columns + 5
    assert maps[: rows * columns].abs().max() == 0


@pytest.mark.parametrize(("array", "kept"), [((1, 2, 3), 4), ((2, 1, 8), 4), ((1, 1, 8), 0), ((2, 1, 4), 5)])
def test_sizes_that_do_not_fit_are_refused(array, kept):
    with pytest.raises(InputError, match=r"antennas|delay bins"):
        to_angle_delay(torch.zeros(8, 4, dtype=torch.complex64), array, kept)
