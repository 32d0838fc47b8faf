"""LWM-Temporal: tokens, masking, scale and save/load."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.errors import InputError
from wavefoundry.models.lwm_temporal import (
    LWMTemporal,
    LWMTemporalConfig,
    LWMTemporalPredictor,
    LWMTemporalPredictorConfig,
    Patches,
    masked_nmse,
    rotary_angles,
    rotate,
)

SMALL = {"patch_size": [2, 2], "embed_dim": 16, "depth": 2, "num_heads": 2, "temporal_offsets": [-2, -1, 1]}


def maps(*shape, seed=0):
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def predictor(seed=0, trained=True):
    torch.manual_seed(seed)
    model = LWMTemporalPredictor(LWMTemporalPredictorConfig(**SMALL, keep_percentage=0.25)).eval()
    if trained:
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
    query, key = (torch.randn(12, dtype=torch.float64) for _ in range(2))
    rotated = rotate(query.expand(1, math.prod(grid), 12), angles)[0]
    assert torch.allclose(rotated.norm(dim=-1), query.norm().expand(len(rotated)))
    products = (rotated @ rotate(key.expand(1, math.prod(grid), 12), angles)[0].T).view(*grid, *grid)
    # Two frames and one delay bin on, and one step around the ring of 8 angles: from 7 on to 0 is the same step.
    assert torch.allclose(products[0, 2, 1, 2, 3, 2], products[3, 7, 3, 5, 0, 4], atol=1e-9)


def test_hidden_tokens_have_no_influence():
    model = LWMTemporal(LWMTemporalConfig(**SMALL)).eval()
    grid = (4, 3, 2)
    tokens = torch.randn(1, 24, 8)
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    other = torch.where(mask.unsqueeze(-1), torch.randn_like(tokens), tokens)
    assert torch.equal(model.reconstruction(tokens, mask, grid), model.reconstruction(other, mask, grid))


@settings(max_examples=20)
@given(st.floats(1e-6, 1e3))
def test_reconstruction_scales_with_the_channel(factor):
    torch.manual_seed(0)
    model = LWMTemporal(LWMTemporalConfig(**SMALL)).eval().double()
    tokens = torch.randn(1, 24, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    straight = model.reconstruction(tokens, mask, (4, 3, 2))
    scaled = model.reconstruction(factor * tokens, mask, (4, 3, 2))
    # Against the size of the whole: single values may cancel to nearly nothing.
    assert (scaled - factor * straight).norm() < 1e-9 * (factor * straight).norm()


def test_untrained_predictor_holds_the_last_slot():
    known = torch.fft.fft(maps(2, 4, 8, 4), n=16, dim=-1)  # nothing beyond the delays that are kept
    future = predictor(trained=False).predict(known, "time", 3)
    assert torch.allclose(future, known[:, -1:].expand(-1, 3, -1, -1), atol=1e-5)


def test_predicts_sizes_it_was_not_built_for():
    model = predictor()
    for antennas, subcarriers, slots, horizon in [(8, 16, 4, 1), (4, 32, 6, 10), (12, 24, 3, 2)]:
        known = maps(2, slots, antennas, subcarriers)
        assert model.predict(known, "time", horizon).shape == (2, horizon, antennas, subcarriers)
        half = subcarriers // 2
        assert model.predict(known[..., :half], "frequency", half).shape == (2, slots, antennas, half)


def test_samples_of_a_batch_do_not_see_each_other():
    model = predictor()
    known = maps(3, 4, 8, 16)
    together = model.predict(known, "time", 4)
    alone = torch.cat([model.predict(known[index : index + 1], "time", 4) for index in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_masked_nmse_by_hand():
    target = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    predicted = torch.tensor([[[9.0, 9.0], [3.0, 2.0]]])
    assert masked_nmse(predicted, target, torch.tensor([[False, True]])).item() == pytest.approx(4 / 25)


def test_learns_a_rotating_path(monkeypatch):
    # All paths shall turn the same way; reversed in time they would not.
    monkeypatch.setattr("wavefoundry.models.lwm_temporal.random_symmetry", lambda csi, generator: csi)
    torch.manual_seed(0)
    model = LWMTemporalPredictor(
        LWMTemporalPredictorConfig(**SMALL | {"temporal_offsets": [-1, -2, -3]}, snr_db=[40.0, 40.0])
    )
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
    model = LWMTemporalPredictor(LWMTemporalPredictorConfig(**SMALL, max_seq_len=10)).eval()
    with pytest.raises(InputError, match="max_seq_len 10"):
        model.predict(maps(1, 4, 8, 16), "time", 2)
    with pytest.raises(InputError, match="does not divide the 7 angle bins"):
        predictor().predict(maps(1, 4, 7, 16), "time", 2)
