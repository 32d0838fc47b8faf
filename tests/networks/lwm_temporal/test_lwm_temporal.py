"""LWM-Temporal: tokens, masking, scale and save/load."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.networks.lwm_temporal.example import backbone, options, predictor
from wavefoundry.csi.angle_delay import to_angle_delay, to_csi
from wavefoundry.errors import InputError
from wavefoundry.networks.lwm_temporal import model as lwm_temporal
from wavefoundry.networks.lwm_temporal import reference
from wavefoundry.networks.lwm_temporal.model import (
    LWMTemporal,
    Patches,
    from_phase_mode,
    masked_nmse,
    rotary_angles,
    rotate,
    to_phase_mode,
)
from wavefoundry.networks.lwm_temporal.reference import to_complex, to_features


def maps(*shape, seed=0):
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def trained(**changes):
    """A predictor that goes beyond holding the channel, as a fine-tuned one does."""
    model = predictor(**changes).eval()
    torch.nn.init.normal_(model.reconstruct.weight, std=0.3)
    return model


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_patches_join_inverts_split(frames, rows, columns, height, width):
    patches = Patches([height, width])
    csi = maps(2, frames, rows * height, columns * width)
    tokens = patches.split(csi)
    assert tokens.shape == (2, frames * rows * columns, 2 * height * width)
    assert torch.equal(patches.join(tokens, patches.grid(csi.shape)), csi)


def test_first_token_is_the_first_patch():
    csi = maps(1, 2, 4, 4)
    token = Patches([2, 2]).split(csi)[0, 0]
    corner = csi[0, 0, :2, :2].flatten()
    assert torch.equal(token, torch.cat([corner.real, corner.imag]))


def test_rotation_keeps_length_and_depends_on_relative_positions_only():
    grid = (6, 8, 5)
    angles = rotary_angles(grid, 6, torch.device("cpu")).double()
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 12, dtype=torch.float64, generator=generator)
    rotated = rotate(query.expand(1, math.prod(grid), 12), angles)[0]
    assert torch.allclose(rotated.norm(dim=-1), query.norm().expand(len(rotated)))
    products = (rotated @ rotate(key.expand(1, math.prod(grid), 12), angles)[0].T).view(*grid, *grid)
    # Two frames and one delay bin on, and one step around the ring of 8 angles: from 7 on to 0 is the same step.
    # Angles are of single precision.
    assert torch.allclose(products[0, 2, 1, 2, 3, 2], products[3, 7, 3, 5, 0, 4], atol=1e-5)


def test_heads_know_the_same_of_positions():
    """Whoever exchanges the two heads of every layer, weights and all, changes nothing."""
    model = embedder()
    csi = maps(2, 4, 8, 16)
    before = model.embed_sequence(csi).patches
    exchanged = torch.arange(16).unflatten(0, (2, 8)).flip(0).flatten()
    with torch.no_grad():
        for block in model.blocks:
            attention = block.attention
            rows = (16 * torch.arange(3)[:, None] + exchanged).flatten()
            attention.qkv.weight.copy_(attention.qkv.weight[rows])
            attention.out.weight.copy_(attention.out.weight[:, exchanged])
            attention.energy_gain.copy_(attention.energy_gain.flip(0))
    torch.testing.assert_close(model.embed_sequence(csi).patches, before, rtol=1e-4, atol=1e-5)


def test_hidden_tokens_have_no_influence():
    model = backbone().eval()
    grid = (4, 3, 2)
    tokens = torch.randn(1, 24, 8)
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    other = torch.where(mask.unsqueeze(-1), torch.randn_like(tokens), tokens)
    assert torch.equal(model.reconstruction(tokens, mask, grid), model.reconstruction(other, mask, grid))


@settings(max_examples=20)
@given(st.floats(1e-6, 1e3))
def test_reconstruction_scales_with_the_channel(factor):
    # With eight keys some queries of the first layer choose among tokens of equal score, which rounding decides.
    model = backbone(architecture={"routing_topk_min": 1}).eval().double()
    tokens = torch.randn(1, 24, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    straight = model.reconstruction(tokens, mask, (4, 3, 2))
    scaled = model.reconstruction(factor * tokens, mask, (4, 3, 2))
    # Against the size of the whole: single values may cancel to nearly nothing.
    assert (scaled - factor * straight).norm() < 1e-9 * (factor * straight).norm()


@settings(max_examples=20)
@given(st.floats(0.01, 100.0), st.floats(-3.0, 3.0), st.sampled_from(["phase", "phase_and_scale", "rotation"]))
def test_reconstruction_turns_with_the_channel(size, phase, mode):
    model = backbone(architecture={"reference": mode}).eval().double()
    factor = size * np.exp(1j * phase)
    tokens = torch.randn(1, 24, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[:, :6] = False  # every position is seen in a frame
    straight = to_complex(model.reconstruction(tokens, mask, (4, 3, 2)))
    turned = to_complex(model.reconstruction(to_features(factor * to_complex(tokens)), mask, (4, 3, 2)))
    assert (turned - factor * straight).norm() < 1e-9 * (factor * straight).norm()


def test_bins_that_differ_by_a_complex_factor_look_the_same():
    """Every bin has its own factor, and the network reads the same of all of them but their strength."""
    generator = torch.Generator().manual_seed(2)
    series = torch.polar(torch.ones(1, 5, 1, 1), torch.linspace(0, 2, 5)[None, :, None, None])
    factors = torch.randn(1, 1, 6, 4, dtype=torch.complex64, generator=generator)
    # The first position is hidden in the last frames, the second in all.
    mask = torch.zeros(1, 5, 6, dtype=torch.bool)
    mask[:, 3:, 0] = mask[:, :, 1] = True
    bins = (series * factors).masked_fill(mask.unsqueeze(-1), 0)
    tokens, mask = to_features(bins.flatten(1, 2)), mask.flatten(1)
    mean = tokens.square().mean(dim=-1).sum(dim=1, keepdim=True) / (~mask).sum()
    found = reference.reference(tokens, mask, mean, 5, "phase_and_scale")
    read = (to_complex(tokens) / found).unflatten(1, (5, 6))
    expected = 2**0.5 * series / series[:, -1:]
    # But for the floor, which weighs more the weaker a bin is.
    strong = factors[0, 0].abs() > 0.7
    strong[:2] = False
    assert torch.allclose(read[:, :, strong], expected[..., 0].expand(-1, -1, strong.sum()), rtol=2e-3, atol=2e-3)
    assert torch.allclose(read[:, 2, 0].angle(), torch.zeros(4), atol=1e-5)
    assert torch.equal(found.unflatten(1, (5, 6))[:, :, 1], mean.sqrt().to(torch.complex64).expand(1, 5, 4))


def test_a_silent_sample_predicts_silence_and_a_silent_bin_is_not_turned():
    model = trained()
    known = maps(2, 4, 8, 16)
    known[0] = 0
    for wanted in ((3, 0), (0, 8), (3, 8)):
        predicted = model.predict(known, *wanted)
        assert predicted.isfinite().all() and not predicted[0].any()


def test_untrained_predictor_holds_the_last_slot():
    known = torch.fft.fft(maps(2, 4, 8, 4), n=16, dim=-1)  # nothing beyond the delays that are kept
    future = predictor().eval().predict(known, 3, 0)
    assert torch.allclose(future, known[:, -1:].expand(-1, 3, -1, -1), atol=1e-5)


def test_untrained_predictor_holds_the_last_slot_of_a_band_that_it_completes():
    known = maps(2, 4, 8, 16)
    completed = predictor().eval().predict(known, 0, 8)
    both = predictor().eval().predict(known, 3, 8)
    assert torch.allclose(both, completed[:, -1:].expand(-1, 3, -1, -1), atol=1e-5)


def test_both_at_once_is_the_future_of_the_completed_band():
    model = trained()
    known = maps(2, 4, 8, 16)
    scale = known.abs().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    blurred = to_angle_delay(torch.nn.functional.pad(known / scale, (0, 8)), (1, 1, 8), 6)
    visible = torch.zeros(2, 4 * 4 * 3, dtype=torch.bool)
    change = model.reconstruction(model.patches.split(blurred), visible, (4, 4, 3))
    completed = to_csi(blurred + model.patches.join(change, (4, 4, 3)), (1, 1, 8), 24) * scale
    assert torch.allclose(model.predict(known, 0, 8), completed[..., 16:], atol=1e-5)
    future = model.predict(completed, 3, 0)[..., 16:]
    assert torch.allclose(model.predict(known, 3, 8), future, atol=1e-2)
    assert not torch.allclose(future, completed[:, -1:, :, 16:].expand(-1, 3, -1, -1), atol=0.1)


def test_phases_of_neighbouring_bins_are_seen_where_nothing_is_hidden():
    tokens = torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(2, 24, dtype=torch.bool)
    mask[1, 18:] = True
    mean = tokens.square().mean(dim=(1, 2))[:, None]
    factor = {mode: reference.reference(tokens, mask, mean, 4, mode) for mode in ("none", "phase_and_scale")}
    assert torch.equal(factor["none"][0], factor["phase_and_scale"][0])
    assert factor["phase_and_scale"][1].imag.abs().min() > 0


def test_nothing_and_less_than_nothing_is_no_question():
    for slots, subcarriers in ((0, 0), (-1, 4), (4, -1)):
        with pytest.raises(InputError, match=f"slots is {slots} and subcarriers is {subcarriers}; allowed: whole num"):
            predictor().predict(maps(1, 4, 8, 16), slots, subcarriers)


def test_predicts_sizes_it_was_not_built_for():
    model = trained()
    for antennas, subcarriers, slots, horizon in [(8, 16, 4, 1), (4, 32, 6, 10), (12, 24, 3, 2)]:
        known = maps(2, slots, antennas, subcarriers)
        assert model.predict(known, horizon, 0).shape == (2, horizon, antennas, subcarriers)
        half = subcarriers // 2
        assert model.predict(known[..., :half], 0, half).shape == (2, slots, antennas, half)
        both = model.predict(known[..., :half], horizon, half)
        assert both.shape == (2, horizon, antennas, half) and both.isfinite().all()


def test_samples_of_a_batch_do_not_see_each_other():
    model = trained()
    known = maps(3, 4, 8, 16)
    together = model.predict(known, 4, 0)
    alone = torch.cat([model.predict(known[index : index + 1], 4, 0) for index in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_masked_nmse_by_hand():
    target = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    predicted = torch.tensor([[[9.0, 9.0], [3.0, 2.0]]])
    assert masked_nmse(predicted, target, torch.tensor([[False, True]])).item() == pytest.approx(4 / 25)


def test_learns_a_rotating_path(monkeypatch):
    # All paths shall turn the same way; reversed in time they would not.
    monkeypatch.setattr("wavefoundry.networks.lwm_temporal.model.random_symmetry", lambda csi, generator: csi)
    model = predictor(prediction={"temporal_offsets": [-1, -2, -3], "snr_db": [40.0, 40.0]})
    turn = torch.exp(0.5j * torch.arange(8))
    csi = (maps(32, 1, 4, 4) * turn[None, :, None, None]).to(torch.complex64)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(200):
        outputs = model(csi, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        outputs["loss"].backward()
        optimiser.step()
        losses.append(outputs.get("loss_time", torch.tensor(math.nan)).item())
    known = [loss for loss in losses if not math.isnan(loss)]
    # Holding the last slot would stay at the first loss.
    assert known[-1] < 0.25 * known[0]


def test_too_many_tokens_and_patches_that_do_not_divide_are_refused():
    model = predictor(architecture={"max_seq_len": 10}).eval()
    with pytest.raises(InputError, match="max_seq_len 10"):
        model.predict(maps(1, 4, 8, 16), 2, 0)
    with pytest.raises(InputError, match="does not divide the 7 angle bins"):
        predictor().predict(maps(1, 4, 7, 16), 2, 0)


def test_windows_larger_than_the_grid_are_refused():
    csi = maps(1, 3, 8, 16)  # 4 x 2 tokens
    for name in ("same_frame_window", "temporal_spatial_window"):
        seen = [embedder(**{name: window}).embed_sequence(csi).patches for window in (2, 4)]
        assert all(part.isfinite().all() for part in seen)
        with pytest.raises(InputError, match=rf"{name} is 5, larger than a grid of 4 x 2 .* allowed: 0 \.\.\. 4"):
            embedder(**{name: 5}).embed_sequence(csi)


OPTIONS = [
    {"class_token": class_token, "positions": positions, "phase_mode": phase_mode, "reference": reference}
    for class_token in (False, True)
    for positions in ("rotary", "learned")
    for phase_mode, reference in (
        ("real_imaginary", "none"),
        ("real_imaginary", "phase_and_scale"),
        ("real_imaginary", "rotation"),
        ("magnitude_phase", "phase"),
    )
]


@pytest.mark.parametrize("architecture", OPTIONS)
def test_every_option_trains_every_weight_and_survives_save_and_load(architecture, tmp_path):
    model = backbone(architecture=architecture)
    model(maps(4, 3, 8, 4), torch.Generator().manual_seed(0))["loss"].backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    model.eval().save_pretrained(tmp_path)
    again = LWMTemporal.from_pretrained(tmp_path).eval()
    csi = maps(2, 3, 8, 16)
    for ours, loaded in zip(*(vars(each.embed_sequence(csi)).values() for each in (model, again)), strict=True):
        assert (ours is None and loaded is None) or torch.equal(ours, loaded)
    assert (model.embed_sequence(csi).class_token is not None) == architecture["class_token"]


def embedder(**architecture):
    return backbone(architecture=architecture).eval()


@pytest.mark.parametrize("slots", [1, 5])
def test_embeds_snapshots_and_sequences_whatever_their_scale(slots):
    model = embedder(class_token=True)
    csi = maps(3, slots, 8, 16)
    seen = model.embed_sequence(csi)
    assert seen.patches.shape == (3, slots * 4 * 2, 16) and seen.class_token.shape == seen.mean.shape == (3, 16)
    assert torch.allclose(seen.mean, seen.patches.mean(dim=1), atol=1e-6)
    assert torch.allclose(seen.scale, csi.abs().square().mean(dim=(1, 2, 3)).sqrt())
    for factor in (1e-19, 1e-6, 1e19):
        other = model.embed_sequence(factor * csi)
        assert torch.allclose(other.class_token, seen.class_token, atol=1e-4)
        assert torch.allclose(other.patches, seen.patches, atol=1e-4)
    if slots == 1:
        assert torch.equal(model.embed(csi[:, 0]).patches, seen.patches)


def test_one_checkpoint_serves_grids_it_never_saw(tmp_path, monkeypatch):
    """A channel at rest: frames that see the same of it are alike, however long the sequence is."""
    # The floor is spread over all frames, and so the one thing that depends on their number.
    monkeypatch.setattr(lwm_temporal, "ENERGY_FLOOR", 0.0)
    monkeypatch.setattr(reference, "ENERGY_FLOOR", 0.0)
    # Two layers that look one frame back: from the third frame on all is seen.
    embedder(temporal_offsets=[-1]).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    for antennas, subcarriers in ((4, 16), (8, 32), (12, 24), (6, 64)):
        snapshot = maps(2, 1, antennas, subcarriers)
        frames = [
            model.embed_sequence(snapshot.expand(-1, slots, -1, -1)).patches.unflatten(1, (slots, -1))
            for slots in (3, 4, 9)
        ]
        expected = frames[0][:, 2:]
        assert expected.isfinite().all() and not torch.allclose(frames[0][:, :1], expected, atol=1e-3)
        for other in frames[1:]:
            assert torch.allclose(other[:, 2:], expected, atol=1e-5)


def test_class_token_sees_tokens_that_no_window_of_the_first_frames_reaches():
    # One layer, and windows of a single token: only through the class token can anything travel.
    windows = {"same_frame_window": 0, "temporal_offsets": [], "routing_topk_enable": False, "depth": 1}
    model = embedder(**windows, class_token=True)
    grid = (3, 4, 2)
    tokens = torch.randn(1, 24, 8)
    visible = torch.zeros(1, 24, dtype=torch.bool)
    hidden = visible.clone()
    hidden[0, -1] = True
    whole, less = (model._encode(tokens, mask, grid)[0] for mask in (visible, hidden))
    assert not torch.allclose(whole, less)


def test_rotary_positions_do_not_know_where_the_ring_of_angles_begins_and_learned_ones_do():
    csi = maps(1, 2, 8, 16)
    # A turn of two antennas' spatial frequency moves everything by one patch of two angle bins.
    turned = csi * torch.exp(2j * torch.pi * 2 / 8 * torch.arange(8))[:, None]
    for positions, same in (("rotary", True), ("learned", False)):
        model = embedder(positions=positions, corridor="wide")
        if not same:
            torch.nn.init.normal_(model.positions.axes)
        shifted = model.embed_sequence(csi).patches.unflatten(1, (2, 4, 2)).roll(1, dims=2).flatten(1, 3)
        assert torch.allclose(shifted, model.embed_sequence(turned).patches, atol=1e-4) == same


@given(st.integers(0, 99), st.sampled_from(["real_imaginary", "magnitude_phase"]))
def test_phase_mode_is_undone(seed, mode):
    tokens = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(from_phase_mode(to_phase_mode(tokens, mode), mode), tokens, atol=1e-5)


def test_magnitude_and_phase_by_hand():
    features = to_phase_mode(torch.tensor([0.0, -2.0, 3.0, 0.0]), "magnitude_phase")  # 3j and -2
    assert torch.allclose(features, torch.tensor([3.0, 2.0, math.pi / 2, math.pi]))


@given(st.floats(-math.pi, math.pi), st.floats(-math.pi, math.pi))
def test_what_is_hidden_has_no_phase_whatever_it_was_divided_by(first, second):
    factor = torch.polar(torch.ones(2), torch.tensor([first, second]))
    assert not to_phase_mode(to_features(torch.zeros(2, dtype=torch.complex64) / factor), "magnitude_phase").any()


def test_augmentation_noises_the_input_and_turns_both():
    augmentation = {
        "phase_probability": 1.0,
        "amplitude_probability": 1.0,
        "amplitude_db": [6.0, 6.0],
        "noise_probability": 1.0,
        "snr_db": [10.0, 10.0],
    }
    model = backbone(augmentation=augmentation)
    csi = maps(40, 3, 8, 4)
    clean, noisy = model._augment(csi, torch.Generator().manual_seed(0))
    assert torch.allclose(clean.abs(), csi.abs() * 10**0.3, rtol=1e-4)
    ratio = (noisy - clean).abs().square().mean() / clean.abs().square().mean()
    assert ratio.item() == pytest.approx(0.1, rel=0.1)
    assert model.eval()._augment(csi, torch.Generator())[1] is csi


def test_horizon_is_drawn_in_its_range_and_no_further_than_the_sequence(monkeypatch):
    horizons = []
    model = predictor(prediction={"known_fraction": 0.5, "horizon": [2, 9]})
    fill_in = model._fill_in
    monkeypatch.setattr(
        model, "_fill_in", lambda known, slots: horizons.append((slots, known.shape[1])) or fill_in(known, slots)
    )
    for seed in range(60):
        model(maps(1, 8, 4, 4), torch.Generator().manual_seed(seed))
    # One axis at a time.
    assert {slots for slots, known in horizons if known == 4} == {2, 3, 4}
    assert {slots for slots, known in horizons if known == 8} == {0}


def test_without_fine_tuning_the_hidden_frames_are_what_pretraining_reconstructs():
    pretrained = backbone().eval()
    model = predictor(seed=1, prediction={"inference_only": True}).eval()
    model.load_backbone(pretrained)
    known = torch.fft.fft(maps(2, 4, 8, 4), n=16, dim=-1)
    predicted = model.predict(known, 3, 0)
    scale = known.abs().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    seen = to_angle_delay(torch.cat([known / scale, torch.zeros(2, 3, 8, 16)], dim=1), (1, 1, 8), 4)
    mask = torch.zeros(2, 7, 8, dtype=torch.bool)
    mask[:, 4:] = True
    grid = pretrained.patches.grid(seen.shape)
    tokens = pretrained.reconstruction(pretrained.patches.split(seen), mask.flatten(1), grid)
    expected = to_csi(pretrained.patches.join(tokens, grid), (1, 1, 8), 16)[:, 4:] * scale
    assert torch.allclose(predicted, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "num_heads 3 does not divide embed_dim 16"),
        ({"positions": "sine"}, r"architecture\.positions\n.*'rotary' or 'learned'"),
        ({"phase_mode": "polar"}, r"architecture\.phase_mode\n.*'real_imaginary' or 'magnitude_phase'"),
        (
            {"positions": "rotary", "embed_dim": 15, "num_heads": 5},
            "embed_dim / num_heads is 3; rotary positions need an even number",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        options(architecture=changes)


def test_learned_positions_refuse_longer_axes():
    model = embedder(positions="learned", max_seq_len=10**6)
    with pytest.raises(InputError, match="512 per axis"):
        model.embed_sequence(maps(1, 600, 4, 16))


def test_one_seed_one_loss_with_every_option():
    augmentation = {
        "phase_probability": 0.5,
        "amplitude_probability": 0.5,
        "amplitude_db": [-6.0, 6.0],
        "noise_probability": 0.5,
        "snr_db": [0.0, 20.0],
    }
    losses = []
    for _ in range(2):
        model = backbone(architecture={"class_token": True}, augmentation=augmentation)
        losses.append(model(maps(4, 3, 8, 4), torch.Generator().manual_seed(1))["loss"].item())
    assert losses[0] == losses[1]
