"""Known channels: nothing is told of the right order of axes, and two axes that are exchanged are named."""

import numpy as np
import pytest
import torch

from stages.overlay import compose
from stages.params import parse
from tests.imports.known_channels import channels
from tests.parameters import PROJECT
from wavefoundry.csi.path_response import cluster_response, subcarrier_offsets
from wavefoundry.imports.exchanged_axes import FEWEST, exchanged_axes
from wavefoundry.twin.statistical import collect, drop, generate, units

AXES = {"time": 1, "antenna": 2, "subcarrier": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"delay_turns": 0.01},
        {"delay_turns": 0.2, "paths": 20},
        {"doppler_turns": 0.4},  # 300 km/h at a millisecond
        {"doppler_turns": 0.0},  # nobody moves
        {"sector": 5.0},  # all users in one street
        {"paths": 1},
        {"size": (1, 16, 16)},
        {"size": (16, 1, 16)},
    ],
    ids=str,
)
def test_nothing_is_told_of_channels_in_the_right_order(changes):
    for seed in range(3):
        assert exchanged_axes(channels(seed=seed, **changes)) is None


@pytest.mark.parametrize(
    "exchanged", [("antenna", "subcarrier"), ("antenna", "time"), ("time", "subcarrier")], ids="-".join
)
@pytest.mark.parametrize("changes", [{}, {"delay_turns": 0.05, "size": (8, 32, 32)}, {"paths": 1}], ids=str)
def test_exchanged_axes_are_named(exchanged, changes):
    first, second = exchanged
    csi = channels(**changes).swapaxes(AXES[first], AXES[second])
    assert f"the axes {first} and {second} may be exchanged" in str(exchanged_axes(csi))


def test_exchanged_axes_of_a_drop_of_tr_38_901_are_named():
    """D4 of WiFo's published table, which has as many antennas as subcarriers."""
    study = parse(compose(PROJECT / "studies/tr38901.yaml", PROJECT / "params.yaml"), "studies/tr38901.yaml")
    d4 = study.scenarios["d4"]
    drops = d4.twin.model_copy(update={"users": 60, "users_per_call": 60})
    trajectories = drop(drops, np.zeros(drops.users, bool), np.random.default_rng(0))
    clusters = collect((generate(*unit) for unit in units(drops, trajectories, 0)), drops.users)
    delay, coefficient = torch.from_numpy(clusters.delay.astype(float)), torch.from_numpy(clusters.coefficient)
    csi = cluster_response(coefficient, delay, torch.from_numpy(subcarrier_offsets(d4.ofdm))).numpy()
    assert csi.shape == (60, 16, 32, 32)
    assert exchanged_axes(csi) is None
    assert "the axes antenna and subcarrier may be exchanged" in str(exchanged_axes(csi.swapaxes(2, 3)))


def test_exchanged_axes_of_snapshots_are_named():
    csi = channels(size=(1, 16, 16)).swapaxes(2, 3)
    assert "the axes antenna and subcarrier may be exchanged" in str(exchanged_axes(csi))


def test_neither_gain_nor_common_phases_matter():
    csi = channels().swapaxes(2, 3)
    factors = 10 ** np.linspace(-3, 3, len(csi)) * np.exp(1j * np.arange(len(csi)))
    assert exchanged_axes(csi) == exchanged_axes(csi * factors[:, None, None, None])


def test_noise_and_few_samples_tell_nothing():
    noise = np.random.default_rng(0).standard_normal((2, 200, 8, 8, 8))
    assert exchanged_axes(noise[0] + 1j * noise[1]) is None
    assert exchanged_axes(channels(FEWEST - 1).swapaxes(2, 3)) is None
