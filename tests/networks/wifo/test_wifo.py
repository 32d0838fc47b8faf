import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.networks.wifo.example import options, wifo
from wavefoundry.errors import InputError
from wavefoundry.networks.wifo.model import Trace, WiFo, position_encoding, position_widths


def small(**changes) -> WiFo:
    return wifo(**changes).eval()


def noise(*shape, seed=1) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane_wave(times, antennas, subcarriers) -> torch.Tensor:
    """One path: linear phase over time, antenna and subcarrier."""
    phase = (
        0.07 * torch.arange(times)[:, None, None]
        + 0.11 * torch.arange(antennas)[:, None]
        - 0.05 * torch.arange(subcarriers)
    )
    return torch.polar(torch.ones(phase.shape), 2 * math.pi * phase)[None]


@pytest.mark.parametrize("width, parts", [(512, (170, 170, 172)), (256, (86, 86, 84)), (128, (42, 42, 44)),
                                          (64, (22, 22, 20)), (768, (256, 256, 256)), (32, (10, 10, 12))])  # fmt: skip
def test_position_widths_are_the_published_ones_or_the_largest_even_thirds(width, parts):
    assert position_widths(width) == parts


def test_position_encoding_values():
    encoding = position_encoding((2, 3, 4), 64).reshape(2, 3, 4, 64)
    for axis, (start, width) in enumerate([(0, 22), (22, 22), (44, 20)]):
        for index in range(encoding.shape[axis]):
            part = encoding.select(axis, index)[..., start : start + width]
            angles = torch.tensor([index * 10000 ** (-2 * i / width) for i in range(width // 2)])
            expected = torch.cat([angles.sin(), angles.cos()])
            torch.testing.assert_close(part, expected.expand_as(part))


def test_embedding_is_the_convolution():
    model = small()
    csi = noise(2, 4, 6, 8)
    trace = Trace()
    at = torch.arange(24).expand(2, -1)
    model.reconstruct(model._patches(csi), at, at[:, :1], (2, 3, 4), trace)
    convolved = model.embedding(torch.stack([csi.real, csi.imag], dim=1))
    torch.testing.assert_close(trace.embedding, convolved.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("shape", [(4, 4, 8), (8, 2, 4), (2, 6, 2), (10, 8, 12)])
def test_one_set_of_weights_serves_every_size(shape):
    model = small()
    for seed in range(6):
        outputs = model(noise(3, *shape), seeded(seed))
        assert torch.isfinite(outputs["loss"])
    assert model.predict(noise(3, *shape), 4, 0).shape == (3, 4, *shape[1:])
    assert model.predict(noise(3, *shape), 0, 6).shape == (3, *shape[:2], 6)
    both = model.predict(noise(3, *shape), 4, 6)
    assert both.shape == (3, 4, shape[1], 6) and both.isfinite().all()


def test_a_horizon_that_is_no_multiple_of_the_patch_is_the_start_of_a_longer_one():
    model = small()
    known = noise(2, 4, 4, 4)
    # To whole patches inside: 3 slots are the first of 4.
    assert torch.equal(model.predict(known, 3, 0), model.predict(known, 4, 0)[:, :3])
    assert torch.equal(model.predict(known, 0, 1), model.predict(known, 0, 2)[..., :1])
    assert torch.equal(model.predict(known, 3, 1), model.predict(known, 4, 2)[:, :3, :, :1])


def test_both_at_once_is_the_corner_of_one_box_of_which_only_the_known_block_is_visible():
    model = small()
    known = noise(2, 4, 4, 6)
    everything = torch.zeros(2, 8, 4, 10, dtype=torch.complex64)
    everything[:, :4, :, :6] = known
    leads = torch.zeros(4, 2, 5, dtype=torch.bool)
    leads[:2, :, :3] = True
    order = torch.arange(40).view(4, 2, 5)
    visible_at, hidden_at = order[leads].expand(2, -1), order[~leads].expand(2, -1)
    patches = model._patches(everything)
    scale = known.abs().square().mean((1, 2, 3)).sqrt()[:, None, None]
    found = model.reconstruct(
        patches.take_along_dim(visible_at[:, :, None], dim=1) / scale, visible_at, hidden_at, (4, 2, 5)
    )
    whole = model._assemble(patches.scatter(1, hidden_at[:, :, None].expand_as(found), scale * found), (4, 2, 5))
    torch.testing.assert_close(model.predict(known, 4, 4), whole[:, 4:, :, 6:])


def test_predictions_do_not_depend_on_who_else_is_in_the_batch():
    model = small()
    known = noise(3, 4, 4, 4)
    alone = torch.cat([model.predict(sample[None], 2, 0) for sample in known])
    torch.testing.assert_close(model.predict(known, 2, 0), alone, rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), strategy=st.sampled_from(["random", "time", "frequency"]))
def test_hidden_values_never_influence_the_prediction(seed, strategy):
    model = small()
    csi = noise(2, 4, 4, 6)
    while (puzzle := model.draw(csi, seeded(seed))).strategy != strategy:
        seed += 1
    changed = model._patches(csi).clone()
    changed.scatter_(1, puzzle.hidden_at[:, :, None].expand_as(puzzle.hidden), 1e3 * noise(*puzzle.hidden.shape))
    grid = puzzle.grid
    again = model.draw(model._assemble(changed, grid), seeded(seed))
    assert not torch.equal(puzzle.hidden, again.hidden)
    before, after = (model.reconstruct(each.visible, each.visible_at, each.hidden_at, grid) for each in (puzzle, again))
    assert torch.equal(before, after)


@pytest.mark.parametrize("strategy, hidden", [("random", 41), ("time", 24), ("frequency", 24)])
def test_masks_hide_their_share_in_the_right_place(strategy, hidden):
    model = small()
    seed = 0
    while (puzzle := model.draw(noise(2, 8, 6, 8), seeded(seed))).strategy != strategy:
        seed += 1
    assert puzzle.grid == (4, 3, 4)
    assert puzzle.hidden_at.shape == (2, hidden)
    for visible, masked in zip(puzzle.visible_at, puzzle.hidden_at, strict=True):
        assert sorted([*visible.tolist(), *masked.tolist()]) == list(range(48))
        slots, subcarriers = masked // 12, masked % 4
        if strategy == "time":
            assert set(slots.tolist()) == {2, 3}
        elif strategy == "frequency":
            assert set(subcarriers.tolist()) == {2, 3}
    if strategy == "random":
        assert not torch.equal(*puzzle.hidden_at.sort(dim=1).values)


def test_noise_falls_on_the_visible_part_only_at_the_drawn_snr():
    model = small(snr_db=[10.0, 10.0])
    csi = noise(64, 8, 8, 8) * torch.logspace(-3, 3, 64)[:, None, None, None]
    puzzle = model.draw(csi, seeded())
    clean = model._patches(csi)
    error = puzzle.visible - clean.take_along_dim(puzzle.visible_at[:, :, None], dim=1)
    snr = (puzzle.visible - error).abs().square().mean((1, 2)) / error.abs().square().mean((1, 2))
    assert 10 * math.log10(snr.log().mean().exp()) == pytest.approx(10, abs=0.3)
    assert torch.equal(puzzle.hidden, clean.take_along_dim(puzzle.hidden_at[:, :, None], dim=1))


def test_every_strategy_is_drawn_and_reported():
    model = small()
    names = [set(model(noise(1, 4, 4, 4), seeded(seed))) for seed in range(30)]
    assert {name for group in names for name in group} == {"loss", "random_loss", "time_loss", "frequency_loss"}
    assert all(len(group) == 2 for group in names)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-12, 1e12), wanted=st.sampled_from([(2, 0), (0, 2), (2, 2)]))
def test_scaling_the_input_scales_the_prediction(scale, wanted):
    model = small()
    known = noise(2, 4, 4, 4)
    predicted = model.predict(known, *wanted)
    torch.testing.assert_close(model.predict(scale * known, *wanted) / scale, predicted, rtol=1e-3, atol=1e-4)


def test_silence_is_continued_by_silence():
    assert not model_output_is_nan(small().predict(torch.zeros(1, 4, 4, 4, dtype=torch.complex64), 2, 0))


def model_output_is_nan(predicted: torch.Tensor) -> bool:
    return bool(torch.view_as_real(predicted).isnan().any())


def test_overfits_a_plane_wave_in_all_three_strategies():
    model = small(snr_db=[40.0, 40.0], architecture={"hidden_size": 48})
    csi = plane_wave(8, 4, 8)
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    last = {}
    for step in range(300):
        outputs = model(csi.expand(4, -1, -1, -1), seeded(step))
        outputs["loss"].backward()
        optimiser.step()
        decay.step()
        optimiser.zero_grad()
        last |= {name: value.item() for name, value in outputs.items() if name != "loss"}
    assert set(last) == {"random_loss", "time_loss", "frequency_loss"}
    assert max(last.values()) < 0.05
    predicted = model.eval().predict(csi[:, :4], 4, 0)
    assert (predicted - csi[:, 4:]).abs().square().mean() < 0.02


def test_attention_weights_are_those_of_the_fused_attention():
    model = small()
    puzzle = model.draw(noise(2, 4, 4, 6), seeded())
    trace = Trace()
    torch.testing.assert_close(model.solve(puzzle, trace), model.solve(puzzle))
    assert len(trace.encoder_attention) == 2 and len(trace.decoder_attention) == 1
    for weights in trace.encoder_attention + trace.decoder_attention:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert all(states.shape == (*puzzle.visible_at.shape, 32) for states in (*trace.encoder_hidden, trace.embedding))
    assert all(states.shape == (2, 12, 32) for states in trace.decoder_hidden)


def test_a_snapshot_is_embedded_as_the_encoder_sees_a_channel_at_rest():
    model = small()
    csi = noise(3, 4, 6)
    heard = []
    model.encoder.register_forward_hook(lambda module, inputs, outputs: heard.append(outputs[0]))
    seen = model.embed(csi)
    # To predict from two slots without motion, the same tokens go through the encoder.
    model.predict(csi[:, None].expand(-1, 2, -1, -1), 2, 0)
    torch.testing.assert_close(seen.patches, heard[1])
    assert seen.patches.shape == (3, 6, 32) and seen.class_token is None
    torch.testing.assert_close(model.embed_sequence(csi[:, None].expand(-1, 2, -1, -1)).patches, seen.patches)
    torch.testing.assert_close(seen.mean, seen.patches.mean(1))
    torch.testing.assert_close(seen.scale, csi.abs().square().mean((1, 2)).sqrt())


@settings(max_examples=15)
@given(scale=st.floats(1e-12, 1e12))
def test_embeddings_do_not_depend_on_the_scale_of_a_snapshot(scale):
    model = small()
    csi = noise(2, 4, 4)
    torch.testing.assert_close(model.embed(scale * csi).patches, model.embed(csi).patches, rtol=1e-3, atol=1e-4)


def test_sizes_that_do_not_fit_are_named():
    model = small(architecture={"patch_size": [2, 4, 2]})
    with pytest.raises(InputError, match="6 entries along antenna; the patch needs a multiple of 4"):
        model(noise(1, 4, 6, 4), seeded())
    with pytest.raises(InputError, match="3 entries along time"):
        model.predict(noise(1, 3, 4, 4), 2, 0)
    with pytest.raises(InputError, match="5 entries along subcarrier"):
        model.embed(noise(1, 4, 5))
    with pytest.raises(ValidationError, match="heads 5 does not divide hidden_size 32"):
        options(architecture={"heads": 5})
    with pytest.raises(InputError, match="single patch"):
        model(noise(1, 2, 4, 2), seeded())
    with pytest.raises(InputError, match="slots is 0 and subcarriers is 0; allowed: whole numbers from 0, one of them"):
        model.predict(noise(1, 2, 4, 4), 0, 0)
    with pytest.raises(InputError, match="slots is 2 and subcarriers is -2"):
        model.predict(noise(1, 2, 4, 4), 2, -2)


def test_a_saved_model_is_loaded_by_auto_class_and_predicts_the_same(tmp_path):
    model = small(masking={"random": 0.7, "time": 0.5, "frequency": 0.25}, snr_db=[5.0, 25.0])
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, WiFo) and again.config.settings == model.config.settings
    assert again.options.masking == model.options.masking
    assert again.options.snr_db == [5.0, 25.0]
    known = noise(1, 4, 4, 4)
    assert torch.equal(again.predict(known, 0, 4), model.predict(known, 0, 4))
