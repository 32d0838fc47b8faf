"""What networks of single sequences share: the shown window, noise, normalisation, the way back, serving."""

import tempfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.networks.facts import facts
from tests.networks.sequences.example import MIXING, SEQUENCES, TAPS, Channels, noise, options, ramp
from tests.networks.sequences.promises import SequencePromises, assert_same, seeded
from wavefoundry.csi.angle_delay import to_angle_delay
from wavefoundry.deployment.graph_writer import FLOAT, Writer
from wavefoundry.deployment.plain_predictor import write_plain
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.networks.sequences import sequence_network
from wavefoundry.networks.sequences.sequence_layout import taken
from wavefoundry.networks.sequences.sequence_network import (
    Excerpt,
    Trace,
    normalise,
    phase,
    strongest_tap,
    training_data,
)
from wavefoundry.networks.sequences.sequence_serving import continuation, limits, weights_of

CLEAN = [300.0, 300.0]  # dB: the noise is lost in rounding
statistics = st.sampled_from(["sequence", "batch"])
references = st.sampled_from(["none", "phase"])
LAYOUTS = {"ports": SEQUENCES["sequences"], "taps": TAPS, "strongest taps": TAPS | {"strongest": 2}}
layouts = st.sampled_from(list(LAYOUTS.values()))
mixings = st.sampled_from([None, MIXING])
scales = st.floats(1e-9, 1e9)


class TestRamp(SequencePromises):
    make = staticmethod(lambda **changes: ramp(**changes).train())
    # There is nothing to learn, and it is no family.
    test_it_overfits_one_batch = None
    test_it_is_trained_on_a_share_of_the_samples_with_the_same_weights_each_time = None


def numbered(samples: int, slots: int, antennas: int, subcarriers: int) -> torch.Tensor:
    """Every value tells where it stands: slot + 100 subcarrier + j (1 + antenna + 100 sample)."""
    sample, slot, antenna, subcarrier = torch.meshgrid(
        *(torch.arange(size, dtype=torch.float32) for size in (samples, slots, antennas, subcarriers)), indexing="ij"
    )
    return torch.complex(slot + 100 * subcarrier, 1 + antenna + 100 * sample)


def turns(rows: torch.Tensor, turned: str) -> torch.Tensor | None:
    return {"not": None, "as one": phase(strongest_tap(rows)), "each tap": phase(rows[:, -1:])}[turned]


@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    of=statistics,
    turned=st.sampled_from(["not", "as one", "each tap"]),
    scale=scales,
    offset=st.floats(0, 3),
    seed=st.integers(0, 99),
)
def test_normalising_is_undone(sizes, of, turned, scale, offset, seed):
    rows = scale * (noise(*sizes, seed=seed) + offset)
    features, undo = normalise(rows, of, turns(rows, turned))
    assert features.shape == (sizes[0], sizes[1], 2 * sizes[2]) and features.dtype == torch.float32
    assert_same(undo(features), rows)


@given(
    of=statistics,
    turned=st.sampled_from(["not", "as one", "each tap"]),
    scale=scales,
    seed=st.integers(0, 99),
)
def test_what_a_network_reads_has_mean_0_and_deviation_1(of, turned, scale, seed):
    rows = scale * (noise(3, 4, 5, seed=seed) + 1)
    features, _ = normalise(rows, of, turns(rows, turned))
    for each in features if of == "sequence" else [features]:
        assert abs(each.mean()) < 1e-5
        assert each.square().mean().sqrt() == pytest.approx(1, abs=1e-4)


def test_real_and_imaginary_parts_alternate():
    rows = noise(2, 3, 4)
    _, undo = normalise(rows, "sequence", None)
    features, deviation = torch.zeros(2, 1, 8), undo(torch.ones(2, 1, 8)) - undo(torch.zeros(2, 1, 8))
    features[:, :, 2] = 1
    found = undo(features) - undo(torch.zeros(2, 1, 8))
    assert torch.allclose(found[:, :, 1], deviation.real[:, :, 1] + 0j)
    assert not found[:, :, [0, 2, 3]].any()


@settings(max_examples=50)
@given(of=statistics, layout=layouts, mixing=mixings, scale=scales, angle=st.floats(0, 6.28), seed=st.integers(0, 99))
def test_with_the_phase_as_reference_a_complex_factor_is_one_of_the_prediction(of, layout, mixing, scale, angle, seed):
    network, known = ramp(statistics=of, sequences=layout, linear_prediction=mixing), noise(2, 4, 3, 8, seed=seed)
    factor = scale * torch.polar(torch.tensor(1.0), torch.tensor(angle))
    assert_same(network.predict(factor * known, 3, 0), factor * network.predict(known, 3, 0))


@settings(max_examples=25)
@given(shift=st.tuples(st.integers(0, 4), st.integers(0, 3)), seed=st.integers(0, 99))
def test_angles_that_turn_and_delays_that_move_are_answered_so(shift, seed):
    """A DFT over the array: a phase that rises over the antennas by whole bins exchanges angles, and nothing else."""
    network, known = ramp(sequences=TAPS), noise(2, 4, 5, 4, seed=seed)
    turn = torch.polar(torch.ones(5), 2 * torch.pi * shift[0] / 5 * torch.arange(5))[:, None]
    assert_same(network.predict(known * turn, 2, 0), network.predict(known, 2, 0) * turn)


@given(seed=st.integers(0, 99))
def test_each_tap_is_shown_where_it_was_last(seed):
    """Paths on the grid of angles and delays that stand still look like real positive numbers in every slot."""
    still = noise(2, 1, 3, 4, seed=seed).expand(-1, 4, -1, -1)
    shown = to_angle_delay(still, (1, 1, 3), 4)
    rows = shown.transpose(1, 2).flatten(0, 1)
    features, _ = normalise(rows, "sequence", turns(rows, "each tap"))
    real, imaginary = features[..., 0::2], features[..., 1::2]
    assert (real >= imaginary.amax((1, 2), keepdim=True) - 1e-4).all()
    assert (imaginary - imaginary[:, :1, :1]).abs().max() < 1e-4
    torch.testing.assert_close(features, features[:, :1].expand_as(features), rtol=0, atol=1e-4)


def test_without_a_reference_only_a_real_factor_is_one_of_the_prediction():
    network, known = ramp(reference="none"), noise(2, 4, 3, 4)
    found = network.predict(known, 2, 0)
    assert_same(network.predict(2 * known, 2, 0), 2 * found)
    assert (network.predict(1j * known, 2, 0) - 1j * found).abs().max() > 1e-2


def in_order(excerpt: Excerpt) -> Excerpt:
    """Its sequences by what is wanted of them, which has no noise."""
    order = excerpt.wanted[:, :, 0, 0].real.argsort(1)
    return replace(excerpt, known=taken(excerpt.known, order), wanted=taken(excerpt.wanted, order))


@settings(max_examples=40)
@given(
    low=st.floats(0, 30),
    width=st.floats(0, 20),
    antennas=st.integers(2, 5),
    taps=st.booleans(),
    seed=st.integers(0, 99),
)
def test_noise_falls_on_what_is_known_alone_at_the_drawn_snr(low, width, antennas, taps, seed):
    csi = noise(24, 40, antennas, 12, seed=seed) * torch.logspace(-3, 3, 24)[:, None, None, None]
    link = {"known_slots": 30, "subcarriers": 10}
    # Of taps all, for noise changes which are drawn first.
    layout = TAPS | {"drawn": 5 * antennas} if taps else SEQUENCES["sequences"]
    clean = in_order(ramp(link=link, sequences=layout, snr_db=CLEAN).draw(csi, seeded(seed)))
    noisy = in_order(ramp(link=link, sequences=layout, snr_db=[low, low + width]).draw(csi, seeded(seed)))
    assert torch.equal(noisy.wanted, clean.wanted) and torch.equal(noisy.power, clean.power)
    powers = [part.abs().square().mean((1, 2, 3)) for part in (clean.known, noisy.known - clean.known)]
    snr_db = 10 * (powers[0] / powers[1]).log10()
    # The power of 600 values of noise is known to 0.2 dB, and the mean of 24 drawn SNRs to 0.06 of the range.
    assert low - 1 <= snr_db.min() and snr_db.max() <= low + width + 1
    assert snr_db.mean() == pytest.approx(low + width / 2, abs=0.2 + 0.25 * width)
    if width > 5:
        assert snr_db.unique().numel() == 24


@given(
    rest=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 6)),
    band=st.sampled_from(["same", "adjacent"]),
    seed=st.integers(0, 99),
)
def test_a_window_of_consecutive_slots_and_the_wanted_band_of_the_same_channel_are_drawn(rest, band, seed):
    network = ramp(link={"band": band}, snr_db=CLEAN)
    bands = 1 if band == "same" else 2
    csi = numbered(3, 6 + rest[0], 2 + rest[1], 4 * bands + rest[2])
    excerpt = network.draw(csi, seeded(seed))
    known, wanted = excerpt.known, excerpt.wanted
    assert known.shape == (3, 2, 4, 4) and wanted.shape == (3, 2, 2, 4)
    shift = 4 if band == "same" else 4 + 100 * 4  # of slots, and of subcarriers
    first, low = int(known.real[0, 0, 0, 0]) % 100, int(known.real[0, 0, 0, 0]) // 100
    assert 0 <= first <= rest[0] and 0 <= low <= rest[2]
    expected = csi.real[0, :6, 0, :4] + first + 100 * low
    torch.testing.assert_close(known.real, expected[:4].expand(3, 2, -1, -1), atol=1e-2, rtol=0)
    torch.testing.assert_close(wanted.real, (expected[:2] + shift).expand(3, 2, -1, -1), atol=1e-2, rtol=0)
    # Each sample's own ports, distinct, the same ones in the future.
    ports = (known.imag[:, :, 0, 0] - 1 - 100 * torch.arange(3)[:, None]).round()
    assert ((ports >= 0) & (ports < csi.shape[2])).all() and (ports[:, 0] != ports[:, 1]).all()
    torch.testing.assert_close(wanted.imag[:, :, 0, 0], known.imag[:, :, 0, 0], atol=1e-2, rtol=0)


def test_every_window_band_and_port_is_drawn():
    network = ramp(snr_db=CLEAN)
    seen = set()
    for seed in range(200):
        known = network.draw(numbered(1, 8, 3, 6), seeded(seed)).known
        value = known[0, 0, 0, 0]
        seen.add((round(value.real.item()) % 100, round(value.real.item()) // 100, round(value.imag.item())))
    assert seen == {(slot, low, port) for slot in range(3) for low in range(3) for port in (1, 2, 3)}


@given(slope=st.floats(-2, 2), start=st.floats(1, 5), seed=st.integers(0, 99))
def test_a_ramp_is_continued_as_a_ramp(slope, start, seed):
    network = ramp(share=0.0, snr_db=CLEAN)
    line = start + slope * torch.arange(6.0)
    csi = line[:, None, None] * noise(2, 1, 3, 4, seed=seed)
    assume(line[3].abs() > 0.1)  # the phase of silence is that of rounding
    found = network.predict(csi[:, :4], 2, 0)
    assert (found - csi[:, 4:]).abs().max() <= 1e-4 * csi.abs().max()
    assert network(csi, seeded(seed))["nmse"] < 1e-4


def test_the_loss_is_the_mean_of_the_samples_ratios():
    network = ramp(share=0.0)
    known, wanted = noise(2, 3, 4, 4), noise(2, 3, 2, 4, seed=1) * torch.tensor([1e-2, 1e2])[:, None, None, None]
    error = (network.continued(known, Trace()) - wanted).abs().square().sum((1, 2, 3))
    expected = (error / wanted.abs().square().sum((1, 2, 3))).mean()
    outputs = network.solve(
        Excerpt(known, wanted, None, torch.ones(2, 3), wanted.abs().square().mean((1, 2, 3))), Trace()
    )
    torch.testing.assert_close(outputs["loss"], expected)
    torch.testing.assert_close(outputs["nmse"], expected.detach())


@given(size=st.integers(1, 40), share=st.floats(0.01, 1), seed=st.integers(0, 9))
def test_few_shot_is_a_share_of_the_samples_with_all_their_ports(size, share, seed):
    session = SimpleNamespace(dataset=Channels(noise(size, 6, 4, 4)), seed=seed)
    data = training_data(options(few_shot=share), session)
    assert len(data) == max(1, round(share * size))
    assert data.__getitems__([0])["csi"].shape == (1, 6, 4, 4)
    assert training_data(options(few_shot=None), session) is session.dataset


def test_options_say_what_is_too_small_and_what_cannot_be_asked():
    assert options().why_not(facts(slots=6, antennas=2, subcarriers=4)) is None
    assert "6 slots are known or predicted, and it has 5" in options().why_not(facts(slots=5))
    assert "sequences.drawn 2 is more than its 1 antenna ports" in options().why_not(facts(antennas=1))
    assert "drawn 9 is more than its 8 sequences of a band" in options(sequences=TAPS | {"drawn": 9}).why_not(
        facts(antennas=4, subcarriers=4)
    )
    assert "4, 1 times, is more than its 3" in options().why_not(facts(subcarriers=3))
    adjacent = options(link={"band": "adjacent"})
    assert adjacent.why_not(facts(subcarriers=8)) is None
    assert "4, 2 times, is more than its 7" in adjacent.why_not(facts(subcarriers=7))
    for asked, known, wanted, told in (
        (options(), (3, 4), (1, 0), "link.known_slots 4 is more than the 3"),
        (options(), (4, 4), (0, 4), "none is asked for"),
        (options(), (4, 4), (2, 4), "link.band is same"),
        (options(), (4, 6), (2, 0), "does not divide the 6"),
        (adjacent, (4, 4), (2, 0), "link.band is adjacent"),
        (adjacent, (4, 8), (2, 4), "8 subcarriers are known"),
        (adjacent, (4, 4), (3, 4), "link.horizon 2 is less than the 3"),
    ):
        assert told in asked.why_not_continue(known, wanted)
        assert asked.why_not_predict(facts(), known, wanted) == asked.why_not_continue(known, wanted)


@pytest.mark.parametrize("parts", [1, 3, 1024])
def test_a_prediction_in_parts_is_the_same(parts, monkeypatch):
    known, expected = noise(3, 4, 5, 8), ramp().predict(noise(3, 4, 5, 8), 3, 0)
    monkeypatch.setattr(sequence_network, "SEQUENCES_AT_ONCE", parts)
    assert_same(ramp().predict(known, 3, 0), expected)


def changes(band, of, reference, layout, mixed) -> dict:
    return {
        "statistics": of,
        "reference": reference,
        "sequences": LAYOUTS[layout],
        "link": {"band": band},
        "linear_prediction": MIXING if mixed else None,
    }


@cache
def served(band="same", of="sequence", reference="phase", layout="ports", mixed=False) -> ServedPredictor:
    """A ramp as one plain graph; its network is written here, for an export from torch takes half a minute."""
    ours = ramp(**changes(band, of, reference, layout, mixed))
    options, share, link = ours.options, ours.share.tolist(), ours.options.link
    writer = Writer("ramp")
    features = writer.input("features", FLOAT, ["sequence", link.known_slots, 2 * options.width])
    last = features.cut(1, -1)
    rise = (last - features.cut(1, -2, -1)) * (last.cut(2, 0, 1).op("Tanh") * share[1] + share[0])
    network = writer.model({"found": last + rise * writer.constant(np.arange(1, link.horizon + 1)[:, None])})
    with tempfile.TemporaryDirectory() as folder:
        write_plain(partial(continuation, options, network, weights_of(ours.mixture)), limits(link), Path(folder))
        return ServedPredictor(folder)


@settings(max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(4, 6), st.integers(1, 3), st.integers(1, 3)),
    slots=st.integers(1, 5),
    band=st.sampled_from(["same", "adjacent"]),
    of=statistics,
    reference=references,
    layout=st.sampled_from(list(LAYOUTS)),
    mixed=st.booleans(),
    scale=scales,
    silent=st.booleans(),
)
def test_what_is_served_around_the_graph_does_the_same(sizes, slots, band, of, reference, layout, mixed, scale, silent):
    network = ramp(**changes(band, of, reference, layout, mixed))
    batch, past, antennas, bands = sizes
    known = scale * noise(batch, past, antennas, 4 * bands if band == "same" else 4)
    if silent:
        known[0] = 0
    wanted = (slots, 0) if band == "same" else (min(slots, 2), 4)
    found = served(band, of, reference, layout, mixed).predict(known.numpy(), *wanted)
    expected = network.predict(known, *wanted)
    assert found.dtype.name == "complex64" and found.shape == expected.shape
    assert_same(torch.from_numpy(found), expected, 1e-4)


@given(
    band=st.sampled_from(["same", "adjacent"]),
    known=st.tuples(st.integers(1, 6), st.integers(1, 12)),
    wanted=st.tuples(st.integers(0, 4), st.integers(0, 8)).filter(any),
)
def test_what_is_served_refuses_what_the_options_refuse(band, known, wanted):
    network = ramp(link={"band": band})
    csi = noise(1, known[0], 2, known[1]).numpy()
    if network.options.why_not_continue(known, wanted) is None:
        assert served(band).predict(csi, *wanted).shape[1] == wanted[0]
    else:
        with pytest.raises(ValueError, match="the predictor takes") as error:
            served(band).predict(csi, *wanted)
        assert "\n" not in str(error.value)
