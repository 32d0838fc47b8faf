"""Zero-forcing: no interference from perfect CSI, the matched beams of orthogonal users, groups of different users."""

import numpy as np
import pytest
import torch

from wavefoundry.evaluation.metrics import spectral_efficiency
from wavefoundry.evaluation.options import ZeroForcing
from wavefoundry.evaluation.zero_forcing import draw_groups, why_no_groups, zero_forcing_sum_rate

SNR_DB = 10.0
SNR = 10 ** (SNR_DB / 10)


def channels(groups=3, users=4, slots=2, antennas=8, subcarriers=5, seed=0):
    """Users of very different powers."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(groups, users, slots, antennas, subcarriers, dtype=torch.complex128, generator=generator)
    return drawn * torch.logspace(-5, 2, users)[:, None, None, None]


def test_perfect_csi_leaves_what_no_other_user_can_hear():
    """The gain of a beam is the power of the channel's part that is orthogonal to all other users; nothing is lost."""
    h = channels()
    power = h.abs().square().mean((2, 3, 4))
    rate = torch.zeros(3, dtype=torch.float64)
    for user in range(4):
        others = [other for other in range(4) if other != user]
        # (group, slot, subcarrier, antenna, user)
        basis = torch.linalg.qr(h[:, others].permute(0, 2, 4, 3, 1)).Q
        own = h[:, user].permute(0, 1, 3, 2)[..., None]
        left = (own - basis @ (basis.mH @ own)).abs().square().sum((-1, -2))
        rate += torch.log2(1 + left / power[:, user, None, None] * SNR / 4).mean((1, 2))
    assert torch.allclose(zero_forcing_sum_rate(h, h, SNR_DB), rate, rtol=1e-6)


@pytest.mark.parametrize("snr_db", [10.0, 60.0])
def test_without_interference_the_rate_grows_with_the_power_and_with_it_it_does_not(snr_db):
    h = channels()
    wrong = h + 0.3 * h.abs().square().mean((2, 3, 4), keepdim=True).sqrt() * channels(seed=1) / channels(seed=1).abs()
    more = {
        name: zero_forcing_sum_rate(known, h, snr_db + 30) - zero_forcing_sum_rate(known, h, snr_db)
        for name, known in (("perfect", h), ("wrong", wrong))
    }
    assert (more["wrong"] < more["perfect"]).all()
    if snr_db == 60:
        # 30 dB are 9.97 bits for each of the four users.
        assert torch.allclose(more["perfect"], torch.tensor(4 * np.log2(1e3)), rtol=1e-3)
        assert (more["wrong"] < 0.1).all()


def test_orthogonal_users_are_served_by_matched_beams_each_with_its_share_of_the_power():
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))).Q
    h = basis[:4][None, :, None, :, None] * torch.tensor([1.0, 10.0, 0.1, 3.0])[:, None, None, None]
    matched = spectral_efficiency(h[0], h[0], SNR_DB - 10 * np.log10(4))
    assert zero_forcing_sum_rate(h, h, SNR_DB).item() == pytest.approx(matched.sum().item(), rel=1e-6)


def test_the_scale_and_phase_of_a_prediction_are_of_no_importance():
    h, told = channels(), channels(seed=1)
    factor = torch.polar(torch.logspace(-3, 3, 4), torch.linspace(0, 3, 4)).to(torch.complex128)[:, None, None, None]
    expected = zero_forcing_sum_rate(told, h, SNR_DB)
    assert torch.allclose(zero_forcing_sum_rate(factor * told, h, SNR_DB), expected, rtol=1e-6)
    assert torch.allclose(zero_forcing_sum_rate(told, factor * h, SNR_DB), expected, rtol=1e-6)
    assert (expected < zero_forcing_sum_rate(h, h, SNR_DB)).all()


def test_users_of_whom_the_same_is_predicted_or_nothing_do_no_harm():
    h = channels()
    equal = h[:, :1].expand_as(h)
    assert zero_forcing_sum_rate(equal, h, SNR_DB).isfinite().all()
    silent = h.clone()
    silent[:, 0] = 0
    rest = zero_forcing_sum_rate(silent, h, SNR_DB)
    alone = zero_forcing_sum_rate(h[:, 1:], h[:, 1:], SNR_DB - 10 * np.log10(4 / 3))
    # Nothing is sent to the silent user, whom nobody has to spare; the others have their quarters of the power.
    assert torch.allclose(rest, alone, rtol=1e-6)
    assert zero_forcing_sum_rate(torch.zeros_like(h), h, SNR_DB).tolist() == [0.0] * 3


def test_groups_are_of_different_users_that_one_base_station_sees():
    users = np.repeat(np.arange(10), 3)
    stations = np.where(np.arange(30) % 3 == 0, 0, 1)
    options = ZeroForcing(users=4, groups=200, seed=0)
    groups = draw_groups(options, users, stations)
    assert groups.shape == (200, 4)
    assert all(len(set(users[group])) == 4 and len(set(stations[group])) == 1 for group in groups)
    # Every sample is as likely as any other: the second base station has two of three.
    assert np.bincount(groups.ravel(), minlength=30).min() > 0
    assert (stations[groups[:, 0]] == 1).mean() == pytest.approx(2 / 3, abs=0.1)
    assert np.array_equal(draw_groups(options, users, stations), groups)
    assert not np.array_equal(draw_groups(options.model_copy(update={"seed": 1}), users, stations), groups)


def test_data_sets_without_a_group_say_why():
    users = np.array([0, 0, 1, 2, 3])
    one, two = np.zeros(5, dtype=int), np.array([0, 0, 0, 1, 1])
    options = ZeroForcing(users=4, groups=1, seed=0)
    assert why_no_groups(options, 8, users, one) is None
    assert why_no_groups(options, 3, users, one) == "3 antennas cannot tell 4 users apart"
    assert why_no_groups(options, 8, users, two) == "no base station sees 4 users, 2 at most"
