import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.networks.precision import assert_takes_weights_of
from tests.networks.wifo.example import options, wifo
from wavefoundry.csi.linear_prediction import continued
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.errors import InputError
from wavefoundry.networks.axis_positions import position_encoding
from wavefoundry.networks.wifo.model import STRATEGIES, Trace, WiFo, position_widths
from wavefoundry.networks.wifo.patches import from_patches, grid_of, padding_of, to_patches
from wavefoundry.networks.wifo.published import from_published

PATCH = (2, 2, 2)


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
    encoding = position_encoding((2, 3, 4), position_widths(64)).reshape(2, 3, 4, 64)
    for axis, (start, width) in enumerate([(0, 22), (22, 22), (44, 20)]):
        for index in range(encoding.shape[axis]):
            part = encoding.select(axis, index)[..., start : start + width]
            angles = torch.tensor([index * 10000 ** (-2 * i / width) for i in range(width // 2)])
            expected = torch.cat([angles.sin(), angles.cos()])
            torch.testing.assert_close(part, expected.expand_as(part))


def test_at_the_start_heads_of_every_second_decoder_layer_look_at_the_patches_before():
    model = small(architecture={"hidden_size": 128, "heads": 4, "decoder_depth": 2})
    grid, widths = (4, 3, 6), position_widths(128)
    places = torch.cartesian_prod(*(torch.arange(size) for size in grid))
    values = torch.randn(len(places), 16, generator=seeded())
    # Patches of one power.
    values = values * (16 / values.square().sum(-1, keepdim=True)) ** 0.5
    contents = values @ model.embedding.weight.flatten(1).T / 2**0.5
    block = model.decoder.blocks[1]
    tokens = block.attention_norm(position_encoding(grid, widths) + contents)
    query, key, _ = block.attention.qkv(tokens).unflatten(-1, (3, 4, -1)).permute(1, 2, 0, 3)
    looked_at = places[(query @ key.mT).argmax(-1)]
    for head, (axis, steps) in enumerate([(0, 1), (2, 1), (0, 2), (2, 2)]):
        before = places.clone()
        before[:, axis] -= steps
        inside = before[:, axis] >= 0
        assert torch.equal(looked_at[head, inside], before[inside]), (head, axis, steps)


def test_embedding_is_the_convolution():
    model = small()
    csi = noise(2, 4, 6, 8)
    trace = Trace()
    at = torch.arange(24).expand(2, -1)
    model.reconstruct(to_patches(csi, PATCH), at, at[:, :1], (2, 3, 4), trace)
    convolved = model.embedding(torch.stack([csi.real, csi.imag], dim=1))
    torch.testing.assert_close(trace.embedding, convolved.flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    "shape", [(4, 4, 8), (8, 2, 4), (2, 6, 2), (10, 8, 12), (5, 3, 7), (1, 1, 3), (3, 1, 1), (1, 3, 2)]
)
def test_one_set_of_weights_serves_every_size(shape):
    model = small()
    for seed in range(6):
        outputs = model(noise(3, *shape), seeded(seed))
        assert torch.isfinite(outputs["loss"])
    assert model.predict(noise(3, *shape), 4, 0).shape == (3, 4, *shape[1:])
    assert model.predict(noise(3, *shape), 0, 6).shape == (3, *shape[:2], 6)
    both = model.predict(noise(3, *shape), 4, 6)
    assert both.shape == (3, 4, shape[1], 6) and both.isfinite().all()


def test_where_the_patch_divides_all_sizes_nothing_is_padded_to_the_bit():
    model, known = small(), noise(3, 4, 4, 6)
    # The same cut by hand, without a thought of padding.
    boxes = known.reshape(3, 2, 2, 2, 2, 3, 2).permute(0, 1, 3, 5, 2, 4, 6).reshape(3, 12, 8)
    order = torch.arange(24).view(4, 2, 3)
    at = (order[:2].flatten().expand(3, -1), order[2:].flatten().expand(3, -1))
    found = rms_scale(boxes) * model.reconstruct(boxes / rms_scale(boxes), *at, (4, 2, 3)).mixed
    box = found.reshape(3, 2, 2, 3, 2, 2, 2).permute(0, 1, 4, 2, 5, 3, 6).reshape(3, 4, 4, 6)
    assert torch.equal(model.predict(known, 4, 0), box)
    puzzle = model.draw(known, seeded())
    assert puzzle.visible_inside.all() and puzzle.hidden_inside.all()
    scale = rms_scale(puzzle.visible)
    found = model.reconstruct(puzzle.visible / scale, puzzle.visible_at, puzzle.hidden_at, puzzle.grid).mixed
    error = torch.view_as_real(found - puzzle.hidden / scale).square().sum(-1).mean()
    assert torch.equal(model.solve(puzzle)["loss"], error)


sizes = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=40)
@given(shape=sizes, share=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_patches_hold_the_csi_once_and_no_patch_is_padding_alone(shape, share):
    patch, csi = (3, 2, 4), noise(2, *shape) + 3
    padding = padding_of(shape, patch)
    before = [round(part * size) for part, size in zip(share, padding, strict=True)]
    patches, grid = to_patches(csi, patch, before), grid_of(shape, patch)
    assert patches.shape == (2, math.prod(grid), 24) and (patches != 0).any(-1).all()
    whole = from_patches(patches, grid, patch)
    crop = tuple(slice(front, front + size) for front, size in zip(before, shape, strict=True))
    assert torch.equal(whole[(slice(None), *crop)], csi)
    assert (whole != 0).sum() == csi.numel()


@pytest.mark.parametrize("wanted", [(1, 0), (0, 1), (1, 1)])
def test_what_padding_holds_never_reaches_a_prediction(wanted):
    """The weights that read padding, and those that write it, do not matter."""
    known = noise(2, 1, 1, 1)
    # Along time and subcarriers, what is known lies behind its padding, and what is found in front of it.
    unseen, unasked = torch.ones(PATCH, dtype=torch.bool), torch.ones(PATCH, dtype=torch.bool)
    unseen[1, 0, 1] = unasked[int(not wanted[0]), 0, int(not wanted[1])] = False
    expected = small().predict(known, *wanted)
    model = small()
    with torch.no_grad():
        model.embedding.weight[:, :, unseen] = 1e3
        model.head.weight.view(2, 8, -1)[:, unasked.flatten()] = 1e3
    assert expected.abs().min() > 0
    assert torch.equal(model.predict(known, *wanted), expected)


def test_padding_is_neither_learnt_from_nor_learnt():
    model = small().train()
    csi = noise(3, 6, 1, 4)
    for seed in range(8):
        model.zero_grad()
        puzzle = model.draw(csi, seeded(seed))
        model.solve(puzzle)["loss"].backward()
        # One of the two antennas of every patch is padding, the first or the second.
        (side,) = {
            int(inside.reshape(-1, *PATCH)[:, :, 1].all()) for inside in (puzzle.visible_inside, puzzle.hidden_inside)
        }
        assert not model.embedding.weight.grad[:, :, :, 1 - side].any()
        assert model.embedding.weight.grad[:, :, :, side].any()
        rows = model.head.weight.grad.view(2, *PATCH, -1)
        assert not rows[:, :, 1 - side].any() and rows[:, :, side].any()


def test_both_sides_are_padded_in_training():
    model = small().train()
    drawn = [model.draw(noise(1, 3, 1, 5), seeded(seed)) for seed in range(20)]
    boxes = []
    for one in drawn:
        order = torch.cat([one.visible_at[0], one.hidden_at[0]]).argsort()
        patches = torch.cat([one.visible_inside[0], one.hidden_inside[0]])[order]
        boxes.append(from_patches(patches[None], (2, 1, 3), PATCH)[0])
    assert all(box.sum() == 15 for box in boxes)
    for axis in range(3):
        assert {bool(box.select(axis, 0).any()) for box in boxes} == {True, False}


def test_a_known_block_between_patches_is_padded_in_front_and_the_answer_begins_with_a_patch():
    model, known = small(), noise(2, 3, 3, 5)
    padded = torch.zeros(2, 4, 4, 6, dtype=torch.complex64)
    padded[:, 1:, :3, 1:] = known
    scale = known.abs().square().mean((1, 2, 3)).sqrt()[:, None, None]
    grid = (3, 2, 4)
    leads = torch.zeros(grid, dtype=torch.bool)
    leads[:2, :, :3] = True
    positions = torch.arange(24).view(grid)
    visible_at, hidden_at = positions[leads].expand(2, -1), positions[~leads].expand(2, -1)
    found = scale * model.reconstruct(to_patches(padded, PATCH) / scale, visible_at, hidden_at, grid).mixed
    patches = torch.zeros(2, 24, 8, dtype=torch.complex64).scatter(1, hidden_at[:, :, None].expand_as(found), found)
    box = from_patches(patches, grid, PATCH)
    torch.testing.assert_close(model.predict(known, 1, 2), box[:, 4:5, :3, 6:8])


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
    patches = to_patches(everything, PATCH)
    scale = known.abs().square().mean((1, 2, 3)).sqrt()[:, None, None]
    found = model.reconstruct(
        patches.take_along_dim(visible_at[:, :, None], dim=1) / scale, visible_at, hidden_at, (4, 2, 5)
    ).mixed
    whole = from_patches(patches.scatter(1, hidden_at[:, :, None].expand_as(found), scale * found), (4, 2, 5), PATCH)
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
    puzzle = model.draw(csi, seeded(seed), strategy)
    changed = to_patches(csi, PATCH).clone()
    changed.scatter_(1, puzzle.hidden_at[:, :, None].expand_as(puzzle.hidden), 1e3 * noise(*puzzle.hidden.shape))
    grid = puzzle.grid
    again = model.draw(from_patches(changed, grid, PATCH), seeded(seed), strategy)
    assert not torch.equal(puzzle.hidden, again.hidden)
    asked = ((each.visible, each.visible_at, each.hidden_at, grid) for each in (puzzle, again))
    before, after = (model.reconstruct(*each).mixed for each in asked)
    assert torch.equal(before, after)


@pytest.mark.parametrize("strategy, hidden", [("random", 41), ("time", 24), ("frequency", 24)])
def test_masks_hide_their_share_in_the_right_place(strategy, hidden):
    model = small()
    puzzle = model.draw(noise(2, 8, 6, 8), seeded(), strategy)
    assert puzzle.strategy == strategy and puzzle.grid == (4, 3, 4)
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


@pytest.mark.parametrize(
    ("ratio", "patches", "visible"),
    [(0.5, 5, 2), (0.5, 6, 3), (0.85, 64, 9), (0.9, 10, 1), (0.99, 10, 1), (0.01, 3, 2)],
)
def test_the_number_of_visible_patches_is_rounded_down(ratio, patches, visible):
    model = small(masking={"random": ratio, "time": ratio, "frequency": ratio})
    for strategy, shape in (
        ("random", (2, 2 * patches, 2)),
        ("time", (2 * patches, 2, 2)),
        ("frequency", (2, 2, 2 * patches)),
    ):
        assert model.draw(noise(1, *shape), seeded(), strategy).visible_at.shape == (1, visible)


@pytest.mark.parametrize("shape", [(8, 8, 8), (7, 7, 7)])
def test_noise_falls_on_the_visible_part_only_at_the_drawn_snr(shape):
    model = small(snr_db=[10.0, 10.0])
    csi = noise(64, *shape) * torch.logspace(-3, 3, 64)[:, None, None, None]
    quiet = small(snr_db=[200.0, 200.0]).draw(csi, seeded())
    puzzle = model.draw(csi, seeded())
    error = puzzle.visible - quiet.visible
    snr = quiet.visible.abs().square().mean((1, 2)) / error.abs().square().mean((1, 2))
    assert 10 * math.log10(snr.log().mean().exp()) == pytest.approx(10, abs=0.3)
    assert torch.equal(puzzle.hidden, quiet.hidden)
    assert torch.equal(error != 0, puzzle.visible_inside)
    torch.testing.assert_close(
        puzzle.scale[:, 0, 0] ** 2 * puzzle.visible_inside.sum((1, 2)), puzzle.visible.abs().square().sum((1, 2))
    )


def test_a_step_is_the_mean_of_the_three_strategies_alone_gradients_too():
    model, csi = small().train(), noise(3, 4, 3, 6)
    outputs = model(csi, seeded())
    outputs["loss"].backward()
    found = [weights.grad.clone() for weights in model.parameters()]
    model.zero_grad()
    generator, alone = seeded(), {}
    for strategy in STRATEGIES:
        solved = model.solve(model.draw(csi, generator, strategy))
        (solved["loss"] / 3).backward()
        alone[f"{strategy}_loss"] = solved["loss"].detach()
    torch.testing.assert_close(
        {**alone, "loss": sum(alone.values()) / 3}, {**outputs, "loss": outputs["loss"].detach()}
    )
    for weights, gradient in zip(model.parameters(), found, strict=True):
        torch.testing.assert_close(weights.grad, gradient)


def test_strategies_that_have_nothing_to_mask_are_left_out():
    model = small()
    assert set(model(noise(2, 2, 4, 6), seeded())) == {"loss", "random_loss", "frequency_loss"}
    assert set(model(noise(2, 1, 3, 1), seeded())) == {"loss", "random_loss"}


def test_every_strategy_is_drawn_where_one_is_asked_for():
    model = small()
    assert {model.draw(noise(1, 4, 4, 4), seeded(seed)).strategy for seed in range(20)} == set(STRATEGIES)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-19, 1e19), wanted=st.sampled_from([(2, 0), (0, 2), (2, 2)]), size=st.integers(3, 4))
def test_scaling_the_input_scales_the_prediction(scale, wanted, size):
    model = small()
    known = noise(2, size, size, size)
    predicted = model.predict(known, *wanted)
    torch.testing.assert_close(model.predict(scale * known, *wanted) / scale, predicted, rtol=1e-3, atol=1e-4)


def test_silence_is_continued_by_silence():
    assert not model_output_is_nan(small().predict(torch.zeros(1, 4, 4, 4, dtype=torch.complex64), 2, 0))


def model_output_is_nan(predicted: torch.Tensor) -> bool:
    return bool(torch.view_as_real(predicted).isnan().any())


# Padded, the wave lies in the patches in eight ways, of which a step draws one: more to learn.
@pytest.mark.parametrize(
    ("shape", "copies", "rate", "steps", "rest"), [((8, 4, 8), 4, 5e-3, 150, 0.05), ((7, 3, 7), 12, 3e-3, 400, 0.2)]
)
def test_overfits_a_plane_wave_in_all_three_strategies(shape, copies, rate, steps, rest):
    model = small(snr_db=[40.0, 40.0], architecture={"hidden_size": 48})
    csi = plane_wave(*shape)
    optimiser = torch.optim.AdamW(model.parameters(), rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        outputs = model(csi.expand(copies, -1, -1, -1), seeded(step))
        outputs["loss"].backward()
        optimiser.step()
        decay.step()
        optimiser.zero_grad()
    assert set(outputs) == {"loss", "random_loss", "time_loss", "frequency_loss"}
    assert max(value.item() for value in outputs.values()) < rest
    predicted = model.eval().predict(csi[:, :4], shape[0] - 4, 0)
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
@given(scale=st.floats(1e-19, 1e19))
def test_embeddings_do_not_depend_on_the_scale_of_a_snapshot(scale):
    model = small()
    csi = noise(2, 4, 4)
    torch.testing.assert_close(model.embed(scale * csi).patches, model.embed(csi).patches, rtol=1e-3, atol=1e-4)


def test_the_channel_of_a_snapshot_is_cut_and_joined_whatever_its_size():
    model = small()
    for shape in ((4, 6), (3, 5), (1, 1)):
        csi = noise(2, *shape)
        tokens = model.cut(csi)
        assert torch.equal(model.join(tokens, shape), csi)
        assert tokens.shape[:2] == model.embed(csi).patches.shape[:2]


def test_what_does_not_fit_is_named():
    model = small(architecture={"patch_size": [2, 4, 2]})
    with pytest.raises(InputError, match="csi has 0 entries along time; allowed: 1 or more"):
        model.predict(noise(1, 0, 4, 4), 2, 0)
    with pytest.raises(InputError, match="csi has 0 entries along subcarrier"):
        model.embed(noise(1, 4, 0))
    with pytest.raises(ValidationError, match="heads 5 does not divide hidden_size 32"):
        options(architecture={"heads": 5})
    with pytest.raises(InputError, match="single patch"):
        model(noise(1, 2, 3, 1), seeded())
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


MIXING = {"orders": {"time": 3, "frequency": 2}, "hidden_size": 5, "first_share": 0.3, "own_weight": 0.5}
ORDERS = MIXING["orders"]


def mixed(**changes) -> WiFo:
    """One whose answer is mixed with linear prediction, by shares that differ."""
    model = small(architecture={"linear_prediction": MIXING}, **changes)
    with torch.no_grad():
        model.mixture.logits.weight.normal_(generator=seeded())
    return model


def with_share(logit: float) -> WiFo:
    """The same share of the network's own answer for all."""
    model = mixed()
    with torch.no_grad():
        model.mixture.logits.weight.zero_()
        model.mixture.logits.bias.fill_(logit)
    return model


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 5)),
    wanted=st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(any),
)
def test_a_mixture_is_linear_prediction_at_one_end_and_the_network_alone_at_the_other(sizes, wanted):
    known = noise(*sizes)
    # Of whole patches, which are cut.
    whole = continued(known, *(number + number % 2 for number in wanted), ORDERS)
    expected = whole[:, sizes[1] :][:, : wanted[0]] if wanted[0] else whole
    expected = expected[..., sizes[3] :][..., : wanted[1]] if wanted[1] else expected
    torch.testing.assert_close(with_share(-1e4).predict(known, *wanted), expected, rtol=1e-4, atol=1e-4)
    alone = small()
    assert alone.load_state_dict(with_share(0).state_dict(), strict=False).missing_keys == []
    expected = alone.predict(known, *wanted)
    torch.testing.assert_close(with_share(1e4).predict(known, *wanted), expected, rtol=1e-4, atol=1e-4)


def test_untrained_the_network_has_the_share_that_the_options_say_and_no_complex_value_is_torn():
    fresh = small(architecture={"linear_prediction": MIXING})
    puzzle = fresh.draw(noise(2, 4, 4, 6), seeded(), "time")
    for model, same in ((fresh, True), (mixed(), False)):
        answer = model.reconstruct(
            puzzle.visible, puzzle.visible_at, puzzle.hidden_at, puzzle.grid, linear=puzzle.linear
        )
        share = (answer.mixed - puzzle.linear) / (answer.own - puzzle.linear)
        assert share.imag.abs().max() < 1e-3
        assert ((share.real > 0) & (share.real < 1)).all()
        assert torch.allclose(share.real, torch.tensor(0.3), atol=1e-3) == same


@pytest.mark.parametrize("strategy", ["random", "time", "frequency"])
def test_both_answers_are_learnt_and_the_loss_is_the_sum_that_the_options_say(strategy):
    model = mixed()
    puzzle = model.draw(noise(2, 4, 4, 6), seeded(), strategy)
    scale, linear = puzzle.scale, puzzle.linear
    answer = model.reconstruct(
        puzzle.visible / scale,
        puzzle.visible_at,
        puzzle.hidden_at,
        puzzle.grid,
        linear=None if linear is None else linear / scale,
    )
    losses = model.solve(puzzle)
    own, found = puzzle.error(answer.own), puzzle.error(answer.mixed)
    torch.testing.assert_close(losses[f"{strategy}_loss"], found)
    if strategy == "random":
        assert answer.own is answer.mixed and torch.equal(losses["loss"], losses["random_loss"])
        return
    torch.testing.assert_close(losses[f"{strategy}_own_loss"], own)
    torch.testing.assert_close(losses["loss"], found + 0.5 * own)
    losses["loss"].backward()
    assert all(weights.grad is not None for weights in model.parameters())


@pytest.mark.parametrize("strategy", ["time", "frequency"])
@pytest.mark.parametrize("shape", [(8, 4, 8), (7, 3, 5)])
def test_a_puzzle_has_the_linear_prediction_of_what_is_visible(strategy, shape):
    model = mixed(snr_db=[10.0, 10.0])
    for seed in range(6):
        puzzle = model.draw(noise(2, *shape), seeded(seed), strategy)
        assert puzzle.linear.shape == puzzle.hidden.shape
        # Linear prediction of the noisy block, put together again, wherever its padding lies.
        tokens = [torch.cat([first, second], dim=1) for first, second in (
            (puzzle.visible, puzzle.linear), (puzzle.visible_inside, puzzle.hidden_inside))]  # fmt: skip
        order = torch.cat([puzzle.visible_at, puzzle.hidden_at], dim=1).argsort(dim=1)[:, :, None]
        whole, inside = (from_patches(part.take_along_dim(order, dim=1), puzzle.grid, PATCH) for part in tokens)
        csi = whole[inside].reshape(2, *shape)
        axis = 1 if strategy == "time" else 3
        known = csi.shape[axis]
        for steps in range(1, known):
            block = csi.narrow(axis, 0, known - steps)
            found = continued(block, *((steps, 0) if strategy == "time" else (0, steps)), ORDERS)
            if torch.allclose(found, csi, atol=1e-4):
                break
        else:
            pytest.fail("no leading block is continued by the others")
    assert model.draw(noise(2, *shape), seeded(), "random").linear is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), strategy=st.sampled_from(["time", "frequency"]))
def test_hidden_values_never_influence_linear_prediction(seed, strategy):
    model, csi = mixed(), noise(2, 4, 4, 6)
    puzzle = model.draw(csi, seeded(seed), strategy)
    changed = to_patches(csi, PATCH).clone()
    changed.scatter_(1, puzzle.hidden_at[:, :, None].expand_as(puzzle.hidden), 1e3 * noise(*puzzle.hidden.shape))
    again = model.draw(from_patches(changed, puzzle.grid, PATCH), seeded(seed), strategy)
    assert torch.equal(puzzle.linear, again.linear)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-19, 1e19), wanted=st.sampled_from([(2, 0), (0, 2), (2, 2)]))
def test_a_mixed_prediction_scales_and_does_not_depend_on_the_batch(scale, wanted):
    model, known = mixed(), noise(3, 4, 4, 4)
    predicted = model.predict(known, *wanted)
    torch.testing.assert_close(model.predict(scale * known, *wanted) / scale, predicted, rtol=1e-3, atol=1e-4)
    alone = torch.cat([model.predict(sample[None], *wanted) for sample in known])
    torch.testing.assert_close(predicted, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_mixture_takes_weights_of_any_type(dtype):
    assert_takes_weights_of(dtype, mixed(), noise(2, 4, 4, 4))


def test_published_weights_are_not_mixed_with_linear_prediction():
    with pytest.raises(InputError, match="linear_prediction"):
        from_published({}, options(architecture={"linear_prediction": MIXING}))
