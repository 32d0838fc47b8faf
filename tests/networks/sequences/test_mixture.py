"""A network that is mixed with linear prediction: between the two, fair to both, and never far from the better one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.networks.precision import assert_takes_weights_of
from tests.networks.sequences.example import MIXING, TAPS, noise, paths, ramp
from tests.networks.sequences.promises import assert_same, seeded
from wavefoundry.csi.linear_prediction import continued
from wavefoundry.networks.sequences.sequence_layout import sequences_of
from wavefoundry.networks.sequences.sequence_network import Trace

ORDERS = MIXING["orders"]


def mixed(**changes):
    return ramp(linear_prediction=MIXING, **changes)


def with_share(network, logit: float):
    """The same share of the network's own answer for all."""
    with torch.no_grad():
        network.mixture.logits.weight.zero_()
        network.mixture.logits.bias.fill_(logit)
    return network


def linear(known: torch.Tensor, slots: int, subcarriers: int = 0) -> torch.Tensor:
    return continued(known, slots, subcarriers, ORDERS)[:, known.shape[1] :, :, known.shape[3] if subcarriers else 0 :]


@pytest.mark.parametrize("sequences", [TAPS, {"kind": "antenna_ports", "drawn": 2}])
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_at_either_end_it_is_linear_prediction_or_the_network(sequences, slots):
    known = noise(2, 6, 3, 8)
    network = mixed(sequences=sequences)
    assert_same(with_share(network, -1e4).predict(known, slots, 0), linear(known, slots))
    alone = ramp(sequences=sequences)
    assert_same(with_share(network, 1e4).predict(known, slots, 0), alone.predict(known, slots, 0))


def test_the_upper_band_is_that_of_linear_prediction_where_it_is_wanted():
    known = noise(2, 6, 3, 4)
    network = with_share(mixed(link={"band": "adjacent"}), -1e4)
    assert_same(network.predict(known, 2, 4), linear(known, 2, 4))


@given(seed=st.integers(0, 99), slots=st.integers(1, 3))
def test_sequences_that_are_not_predicted_are_as_linear_prediction_has_them(seed, slots):
    known = noise(2, 4, 3, 4, seed=seed)
    network = with_share(mixed(sequences=TAPS | {"strongest": 2}), 1e4)
    every = with_share(mixed(sequences=TAPS), 1e4)
    power = sequences_of(known, network.options).abs().square().sum((2, 3))
    kept = (power >= power.sort(1, descending=True).values[:, [1]])[:, :, None, None]
    found, own, others = (
        sequences_of(csi, network.options)
        for csi in (network.predict(known, slots, 0), every.predict(known, slots, 0), linear(known, slots))
    )
    assert_same(found, torch.where(kept, own, others))


@given(scale=st.floats(1e-9, 1e9), angle=st.floats(0, 6.28), seed=st.integers(0, 99), silent=st.booleans())
def test_a_mixture_lies_between_both_and_keeps_a_complex_factor(scale, angle, seed, silent):
    network = mixed(link={"subcarriers": 3})
    with torch.no_grad():
        network.mixture.logits.weight.normal_(generator=seeded())
    known, own, said = (noise(1, 5, slots, 3, seed=seed + slot) for slot, slots in enumerate((4, 2, 2)))
    if silent:
        known[:, 0] = 0
    found = network._mixed(known, own, said)
    share = ((found - said) / (own - said)).detach()
    assert found.isfinite().all()
    assert share.imag.abs().max() < 1e-3 and (share.real > 0).all() and (share.real < 1).all()
    torch.testing.assert_close(share.real, share.real[..., :1].expand(-1, -1, -1, 3), rtol=0, atol=1e-3)
    factor = scale * torch.polar(torch.tensor(1.0), torch.tensor(angle))
    turned = network._mixed(factor * known, factor * own, factor * said)
    assert_same(turned[:, 1:], factor * found[:, 1:], 1e-4)


def test_it_begins_with_the_share_that_the_options_say():
    known, own, said = (noise(1, 5, slots, 4, seed=slots) for slots in (4, 2, 3))
    said = said[:, :, :2]
    found = mixed()._mixed(known, own, said)
    torch.testing.assert_close(found, said + MIXING["first_share"] * (own - said))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_it_takes_weights_of_any_type(dtype):
    assert_takes_weights_of(dtype, mixed(), noise(2, 6, 3, 8))


def test_both_are_learnt_and_the_loss_is_the_sum_that_the_options_say():
    network, csi = mixed(sequences=TAPS).train(), paths(4, 6, 4, 4)
    excerpt = network.draw(csi, seeded())
    outputs = network.solve(excerpt, Trace())
    own = network.continued(excerpt.known, Trace())

    def nmse(found):
        errors = (found - excerpt.wanted).abs().square().mean((2, 3))
        return ((errors * excerpt.weights).mean(1) / excerpt.power).mean()

    answer = network._mixed(excerpt.known, own, excerpt.linear)
    torch.testing.assert_close(outputs["nmse"], nmse(answer).detach())
    torch.testing.assert_close(outputs["own_nmse"], nmse(own).detach())
    torch.testing.assert_close(outputs["loss"].detach(), outputs["nmse"] + MIXING["own_weight"] * outputs["own_nmse"])
    outputs["loss"].backward()
    assert all(weights.grad is not None for weights in network.parameters())
    assert torch.equal(network.draw(csi, seeded()).linear, excerpt.linear)
