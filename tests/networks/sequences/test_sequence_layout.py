"""The sequences of a channel: nothing is lost, power decides what is drawn and predicted, and what is drawn is fair."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.sequences.example import SEQUENCES, TAPS, noise, options, ramp
from tests.networks.sequences.promises import assert_same, seeded
from wavefoundry.networks.sequences.sequence_layout import among, csi_of, draw, predicted, sequences_of, taken

PORTS = SEQUENCES["sequences"]


def path(angle: int, delay: int, slots: int = 4, antennas: int = 3, subcarriers: int = 4) -> torch.Tensor:
    """A path on the grid of angles and delays that turns from slot to slot, (1, slot, antenna, subcarrier)."""
    turns = torch.arange(slots)[:, None, None] * 0.05 + torch.arange(antennas)[:, None] * angle / antennas
    turns = turns - torch.arange(subcarriers) * delay / subcarriers
    return torch.polar(torch.ones(turns.shape), 2 * torch.pi * turns)[None]


@given(
    layout=st.sampled_from([PORTS, TAPS, TAPS | {"taps": 1}, TAPS | {"taps": 4}]),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_sequences_have_the_power_of_the_channel_and_lead_back_to_it(layout, sizes, seed):
    of, csi = options(sequences=layout), noise(*sizes, 4, seed=seed)
    sequences = sequences_of(csi, of)
    assert sequences.shape == (sizes[0], sizes[2] * 4 // of.width, sizes[1], of.width)
    power, expected = (part.abs().square().sum((1, 2, 3)) for part in (sequences, csi))
    torch.testing.assert_close(power, expected, rtol=1e-5, atol=0)
    assert_same(csi_of(sequences, of), csi)


@given(angle=st.integers(0, 2), delay=st.integers(0, 3), taps=st.sampled_from([1, 2, 4]))
def test_a_path_on_the_grid_is_one_value_of_one_sequence(angle, delay, taps):
    sequences = sequences_of(path(angle, delay), options(sequences=TAPS | {"taps": taps}))
    place = angle * (4 // taps) + delay // taps
    power = sequences.abs().square().sum(2)[0]
    assert power[place, delay % taps] == pytest.approx(4 * 3 * 4, rel=1e-4)
    assert power.sum() == pytest.approx(4 * 3 * 4, rel=1e-4)
    of = options(sequences=TAPS | {"taps": taps, "strongest": 1})
    assert (predicted(sequences, of) == place).all() or len(sequences[0]) == 1
    assert (draw(sequences, options(sequences=TAPS | {"taps": taps, "drawn": 1}), seeded())[0] == place).all()


@pytest.mark.parametrize("layout", [PORTS, TAPS])
def test_what_is_drawn_estimates_the_mean_over_all_sequences(layout):
    of = options(sequences=layout | {"drawn": 1})
    sequences = noise(1, 6, 4, of.width) * torch.tensor([1.0, 0.1, 3.0, 0.5, 1.0, 2.0])[:, None, None]
    errors = torch.tensor([[3.0, 1.0, 2.0, 5.0, 0.0, 1.0]]) * sequences.abs().square().mean((2, 3))
    places, weights = draw(sequences.expand(40_000, -1, -1, -1), of, seeded())
    found = (errors.expand(40_000, -1).gather(1, places) * weights).mean()
    assert found == pytest.approx(errors.mean().item(), rel=0.03)
    power = sequences.abs().square().sum((2, 3))[0]
    share = power / power.sum() if layout is TAPS else torch.full((6,), 1 / 6)
    torch.testing.assert_close(places.flatten().bincount(minlength=6) / 40_000, share, atol=0.01, rtol=0)


@given(layout=st.sampled_from([PORTS, TAPS]), drawn=st.integers(1, 6), seed=st.integers(0, 99))
def test_no_sequence_is_drawn_twice_also_of_silence(layout, drawn, seed):
    sequences = noise(3, 6, 4, 2, seed=seed)
    sequences[1] = 0
    places, weights = draw(sequences, options(sequences=layout | {"drawn": drawn}), seeded(seed))
    assert all(len(set(row)) == drawn for row in places.tolist())
    assert weights.isfinite().all() and (weights > 0).all()
    torch.testing.assert_close(weights[1], torch.ones(drawn))


@settings(max_examples=30)
@given(strongest=st.integers(1, 9), antennas=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_strongest_are_predicted_as_among_all_and_the_others_are_zero(strongest, antennas, seed):
    known = noise(2, 4, antennas, 4, seed=seed)
    some, every = (ramp(sequences=TAPS | {"strongest": count}) for count in (strongest, None))
    sequences = sequences_of(known, every.options)
    found = sequences_of(some.predict(known, 3, 0), every.options)
    expected = sequences_of(every.predict(known, 3, 0), every.options)
    power = sequences.abs().square().sum((2, 3))
    kept = power >= power.sort(1, descending=True).values[:, [min(strongest, power.shape[1]) - 1]]
    assert_same(found, expected * kept[:, :, None, None])
    everywhere = predicted(sequences, every.options)
    assert torch.equal(everywhere, torch.arange(power.shape[1]).expand(2, -1))


def test_what_is_taken_goes_back_to_its_place():
    sequences, places, others = noise(2, 5, 3, 2), torch.tensor([[4, 0], [2, 3]]), noise(2, 5, 3, 2, seed=1)
    found = among(others, taken(sequences, places), places)
    for sample, row in enumerate(places.tolist()):
        for place in range(5):
            assert torch.equal(found[sample, place], (sequences if place in row else others)[sample, place])


def test_taps_divide_the_band():
    with pytest.raises(ValueError, match=r"sequences.taps: 3 does not divide link.subcarriers 4"):
        options(sequences=TAPS | {"taps": 3})
