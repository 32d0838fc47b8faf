"""WiFo-CF: its codewords, its quantiser, its experts, and what the released code gets wrong."""

import pytest
import torch
from pydantic import ValidationError

from tests.feedback.codecs import check_a_sample_is_coded_alone, check_promises
from tests.networks.facts import facts
from tests.networks.lmmse.example import smooth
from tests.networks.wifo_cf.example import options, wifo_cf
from wavefoundry.errors import InputError
from wavefoundry.feedback.uplink import bit_error_rate
from wavefoundry.networks.trace import Trace, TracedNetwork
from wavefoundry.networks.wifo_cf.experts import ExpertLayer, Routing, balance_loss
from wavefoundry.networks.wifo_cf.model import _disturbed, train
from wavefoundry.networks.wifo_cf.options import Experts
from wavefoundry.networks.wifo_cf.quantiser import compress, dequantise, expand, quantise, straight_through
from wavefoundry.training.session import TrainingSession

PUBLISHED = {
    "hidden_size": 64,
    "encoder_depth": 2,
    "decoder_depth": 4,
    "heads": 8,
    "experts": {"routed": 31, "chosen": 3, "shared": 1, "hidden_size": 128},
    "channels": 64,
    "shortcut": False,
    "dropout": 0.05,
}


def channels(samples=6, antennas=8, subcarriers=16, seed=0) -> torch.Tensor:
    return smooth(samples, 1, antennas, subcarriers, seed)[:, 0]


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_keeps_the_promises_of_codecs():
    check_promises(wifo_cf(), channels())


def test_a_sample_alone_equals_the_sample_in_a_batch():
    check_a_sample_is_coded_alone(wifo_cf(), channels())
    # Before the quantiser, to the rounding of single precision.
    network, csi, rates = wifo_cf(), channels(), torch.full((6, 1), 5)
    together = network.codeword(csi, rates, Routing())
    for one in range(6):
        torch.testing.assert_close(
            network.codeword(csi[one : one + 1], rates[:1], Routing())[0], together[one], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("shape", [(4, 32), (8, 16), (16, 32), (12, 96)])
@pytest.mark.parametrize("rate", [1, 5, 12])
def test_bits_are_rate_times_entries_by_16_exactly(shape, rate):
    bits = wifo_cf().encode(channels(2, *shape), rate)
    assert bits.shape == (2, rate * shape[0] * shape[1] // 16)


def test_sizes_are_the_published_ones():
    """5,568,318 weights are published. Ours lack two embeddings and two heads that the released code never uses with
    the first one (1088 + 576 and 1040 + 520), and the norms of one channel at both ends of the codeword (4)."""
    network = wifo_cf(architecture=PUBLISHED)
    assert sum(weight.numel() for weight in network.parameters()) == 5_568_318 - 1088 - 576 - 1040 - 520 - 4
    student = wifo_cf(architecture=PUBLISHED | {"hidden_size": 32, "encoder_depth": 1, "decoder_depth": 2})
    csi = channels(1)
    assert student.encode(csi, 5).shape == network.encode(csi, 5).shape


def test_perturbing_one_token_changes_others_of_its_sample_and_no_other_sample():
    network = wifo_cf()
    rates, before = torch.full((3, 1), 5), channels(3)
    after = before.clone()
    after[0, :4, :4] += 1.0
    hidden = []
    for csi in (before, after):
        trace = Trace()
        network.codeword(csi, rates, Routing(), trace)
        hidden.append(trace.encoder_hidden.after_residual)
    moved = (hidden[1] - hidden[0]).abs().amax(-1)
    assert (moved[0] > 0.01).all()
    # Of other samples the rounding alone: an expert's product has other sizes, which some processors round otherwise.
    assert (moved[1:] < 1e-5).all()
    # Attention maps are those of the tokens of a sample: each row a distribution over all of them.
    trace = Trace()
    network.codeword(before, rates, Routing(), trace)
    assert [map.shape for map in trace.encoder_attention] == [(3, 4, 8, 8)] * 2
    torch.testing.assert_close(trace.encoder_attention[0].sum(-1), torch.ones(3, 4, 8))


def test_the_rate_is_part_of_what_the_network_sees():
    network, csi = wifo_cf(), channels(2)
    found = [network.codeword(csi, torch.full((2, 1), rate), Routing()) for rate in (3, 7)]
    assert (found[0] - found[1]).abs().max() > 1e-5


@pytest.mark.parametrize("companding", [255.0, 0.0])
@pytest.mark.parametrize("bits", [1, 3, 5, 7, 12])
def test_the_quantiser_is_inverted_within_half_a_step(bits, companding):
    # Even in the compressed values, so that no step is missed.
    values = expand(torch.linspace(0, 1, 20001, dtype=torch.float64), companding)
    steps = quantise(values, bits, companding)
    assert steps.min() == 0 and steps.max() == 2**bits - 1
    assert len(steps.unique()) == 2**bits
    distance = compress(dequantise(steps, bits, companding), companding) - compress(values, companding)
    assert distance.abs().max() <= 0.5 / 2**bits + 1e-6
    torch.testing.assert_close(expand(compress(values, companding), companding), values)
    # What was quantised stays.
    assert torch.equal(quantise(dequantise(steps, bits, companding), bits, companding), steps)


def test_steps_of_the_mu_law_are_finer_near_zero():
    edges = dequantise(torch.arange(32), 5, 255.0)
    assert (edges.diff().diff() > 0).all()


def test_the_gradient_goes_straight_through():
    values = torch.rand(50, generator=seeded(), requires_grad=True)
    quantised = dequantise(quantise(values, 4, 255.0), 4, 255.0)
    through, weights = straight_through(values, quantised), torch.randn(50, generator=seeded(1))
    torch.testing.assert_close(through, quantised)
    (gradient,) = torch.autograd.grad((weights * through).sum(), values)
    assert torch.equal(gradient, weights)


def test_every_token_passes_the_experts_that_its_gate_prefers():
    torch.manual_seed(0)
    layer = ExpertLayer(8, Experts(routed=5, chosen=2, shared=1, hidden_size=6), shared=1)
    tokens, routing = torch.randn(3, 7, 8), Routing()
    found = layer(tokens, routing)
    (gates,), (chosen,) = routing.gates, routing.chosen
    torch.testing.assert_close(gates.sum(-1), torch.ones(21))
    for token, gate, choice, value in zip(tokens.flatten(0, 1), gates, chosen, found.flatten(0, 1), strict=True):
        assert set(choice.tolist()) == set(gate.topk(2).indices.tolist())
        # The weights are the gates themselves, whose sum over the chosen is less than 1.
        assert gate[choice].sum() < 1
        expected = layer.shared(token) + sum(gate[one] * layer.experts[one](token) for one in choice.tolist())
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(("experts", "chosen"), [(31, 3), (8, 1), (4, 4)])
def test_balance_loss_on_a_flat_gate_and_on_one_that_starves(experts, chosen):
    tokens = experts * 5
    gates = torch.full((tokens, experts), 1 / experts)
    even = torch.stack([(torch.arange(tokens) + shift) % experts for shift in range(chosen)], dim=1)
    assert balance_loss(gates, even, "switch").item() == pytest.approx(chosen)
    assert balance_loss(gates, even, "released").item() == pytest.approx(chosen**2 / experts)
    if chosen < experts:
        same = torch.arange(chosen).expand(tokens, -1)
        sharp = torch.zeros(tokens, experts)
        sharp[:, :chosen] = 1 / chosen
        for kind in ("switch", "released"):
            assert balance_loss(sharp, same, kind) > balance_loss(gates, even, kind)


def test_bit_errors_of_training_turn_the_bits_that_are_drawn():
    task = wifo_cf(uplink={"snr_db": 0.0, "modulation": "qpsk", "repetitions": 1}, rates=[2, 2]).draw(
        channels(40)[:, None], seeded()
    )
    steps = torch.randint(4, (40, 8), generator=seeded(1))
    turned = steps ^ _disturbed(steps, task)
    expected = 2 * task.wrong[..., 0].long() + task.wrong[..., 1].long()
    assert torch.equal(turned, expected)
    share = task.wrong.double().mean().item()
    assert share == pytest.approx(bit_error_rate(wifo_cf().options.uplink.model_copy(update={"snr_db": 0.0})), rel=0.15)
    quiet = wifo_cf(uplink=None).draw(channels(4)[:, None], seeded())
    assert not quiet.wrong.any()


def test_a_task_is_one_random_slot_of_each_sample_with_clean_targets():
    network, csi = wifo_cf(rates=[3, 7]), smooth(64, 5, 8, 16)
    task = network.draw(csi, seeded())
    assert task.rates.unique().tolist() == [3, 4, 5, 6, 7]
    power = task.seen.abs().square().mean((1, 2))
    torch.testing.assert_close(power, torch.ones(64))
    shape = task.target / task.target.abs().square().mean((1, 2), keepdim=True).sqrt()
    slots = csi / csi.abs().square().mean((2, 3), keepdim=True).sqrt()
    same = ((slots - shape[:, None]).abs().amax((2, 3)) < 1e-4).sum(0)
    assert (same > 0).all()  # every slot is drawn at times
    noise = (task.seen - task.target).abs().square().mean() / task.target.abs().square().mean()
    assert noise.item() == pytest.approx(0.01, rel=0.1)


def test_a_trace_shows_both_stacks():
    network, trace = wifo_cf(), Trace()
    assert isinstance(network, TracedNetwork)
    network.solve(network.draw(channels(3)[:, None], seeded()), trace)
    assert all(states.shape == (3, 8, 32) for states in (trace.embedding, *trace.encoder_hidden, *trace.decoder_hidden))
    # The heads of the decoder's two attentions side by side.
    assert [map.shape for map in trace.decoder_attention] == [(3, 8, 8, 8)] * 2


def test_training_learns_repeats_and_tells_the_share_of_every_expert(tmp_path):
    def trained(name):
        torch.manual_seed(0)
        session = TrainingSession(
            dataset=Rows(),
            validation=NotImplemented,
            delay_fraction=1.0,
            seed=0,
            checkpoints=tmp_path / name,
            on_epoch=None,
            take_champion=lambda network: None,
            language_model=NotImplemented,
        )
        chosen = options(training={"epochs": 20, "batch_size": 16, "epochs_per_checkpoint": 20, "learning_rate": 5e-3})
        return train(chosen, session)

    first, second = trained("first"), trained("second")
    assert first.history == second.history
    assert first.history[-1]["reconstruction_loss"] < 0.9 * first.history[0]["reconstruction_loss"]
    for stack in ("encoder", "decoder"):
        for layer in (1, 2):
            shares = [first.history[-1][f"share_{stack}_{layer}_{expert}"] for expert in range(1, 7)]
            assert sum(shares) == pytest.approx(1)
            # None starves: an even share is 1/6.
            assert min(shares) > 0.02
    bits = first.model.encode(channels(), 5)
    assert torch.equal(bits, second.model.encode(channels(), 5))


class Rows(torch.utils.data.Dataset):
    """64 sequences, in batches of an order that never changes."""

    def __len__(self):
        return 64

    def __getitems__(self, positions):
        return {"csi": smooth(64, 2, 8, 16)[positions]}

    def batch_sampler(self, batch_size, seed):
        sampler = torch.utils.data.BatchSampler(range(64), batch_size, drop_last=False)
        sampler.set_epoch = lambda epoch: None
        return sampler


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 64), "its 3 antennas are less than the codec's stride 4"),
        ((8, 2), "its 2 subcarriers are less than the codec's stride 4"),
        ((6, 16), "the codec's stride 4 does not divide its 6 antennas"),
        ((4, 16), "4 tokens (4 x 16 / 16) are no multiple of 8"),
    ],
)
def test_channels_that_it_cannot_cut_are_one_clear_error_known_beforehand(shape, message):
    antennas, subcarriers = shape
    whole = facts(slots=1, antennas=antennas, subcarriers=subcarriers)
    assert options().why_not(whole) == options().why_not_feed_back(whole) == message
    network = wifo_cf()
    with pytest.raises(InputError) as caught:
        network.codeword(torch.ones(1, *shape, dtype=torch.complex64), torch.full((1, 1), 3), Routing())
    assert str(caught.value) == message
    with pytest.raises(InputError):
        network.encode(torch.ones(1, *shape, dtype=torch.complex64), 3)
    with pytest.raises(InputError):
        network.decode(torch.zeros(1, 24, dtype=torch.uint8), shape)


def test_numbers_of_bits_that_no_rate_gives_are_one_clear_error():
    for bits in (0, 12, 8 * 13):
        with pytest.raises(InputError, match=f"^{bits} bits for a codeword of 8 values; allowed: 1 to 12 for each$"):
            wifo_cf().decode(torch.zeros(1, bits, dtype=torch.uint8), (8, 16))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": [0, 3]}, "rates"),
        ({"rates": [3, 13]}, "rates"),
        ({"rates": [7, 3]}, "rates"),
        ({"architecture": {"heads": 5}}, "heads 5 does not divide hidden_size 32"),
        ({"architecture": {"hidden_size": 20}}, "no multiple of 8"),
        ({"architecture": {"experts": {"chosen": 7}}}, "chosen 7 is more than routed 6"),
    ],
)
def test_options_that_make_no_codec_are_named(changes, message):
    with pytest.raises(ValidationError, match=message):
        options(**changes)
