import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.networks.wimamba.example import PUBLISHED, number_of_weights, options, wimamba
from tests.parameters import PROJECT
from wavefoundry.errors import InputError
from wavefoundry.networks.snapshots.channel_tokens import mask_tokens, patchify, unpatchify
from wavefoundry.networks.wimamba.model import Mamba, WiMamba


def small(**changes) -> WiMamba:
    return wimamba(**changes).eval()


def noise(*shape, seed=1) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=seeded(seed))


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane_wave(slots, antennas, subcarriers) -> torch.Tensor:
    phase = (
        0.02 * torch.arange(slots)[:, None, None]
        + 0.13 * torch.arange(antennas)[:, None]
        - 0.07 * torch.arange(subcarriers)
    )
    return torch.polar(torch.ones(phase.shape), 2 * math.pi * phase)[None]


@settings(max_examples=60)
@given(batch=st.integers(1, 3), shape=st.tuples(st.integers(1, 20), st.integers(1, 20)), patch_size=st.integers(1, 9))
def test_patches_are_put_together_again(batch, shape, patch_size):
    csi = noise(batch, *shape)
    tokens = patchify(csi, patch_size)
    count = math.ceil(shape[0] / patch_size) * math.ceil(shape[1] / patch_size)
    assert tokens.shape == (batch, count, 2 * patch_size**2)
    assert torch.equal(unpatchify(tokens, shape, patch_size), csi)
    # Nothing but zeros was added.
    assert tokens.square().sum().item() == pytest.approx(csi.abs().square().sum().item(), rel=1e-5)


def test_a_token_holds_the_real_and_then_the_imaginary_parts_of_a_square():
    csi = torch.complex(torch.arange(20.0).view(1, 4, 5), 100 + torch.arange(20.0).view(1, 4, 5))
    tokens = patchify(csi, 2)
    assert tokens[0, 1].tolist() == [2, 3, 7, 8, 102, 103, 107, 108]
    assert tokens[0, 5].tolist() == [14, 0, 19, 0, 114, 0, 119, 0]


@pytest.mark.parametrize("patch_size, tokens", [(4, 3601), (6, 1601), (8, 901)])
def test_tokens_of_the_published_grid(patch_size, tokens):
    assert patchify(noise(1, 240, 240), patch_size).shape[1] + 1 == tokens


def test_masks_have_their_shares_and_fillings():
    tokens = 3 + torch.randn(200, 50, 8, generator=seeded())
    shown, masked_at = mask_tokens(tokens, 0.4, seeded())
    assert masked_at.shape == (200, 20)
    changed = (shown != tokens).any(-1)
    constant = (shown == 0.1).all(-1)
    assert (constant.sum(1) == 16).all() and (changed.sum(1) == 18).all()
    # A token is hidden whole: real and imaginary parts together.
    assert torch.equal((shown != tokens).all(-1), changed)
    masked = torch.zeros_like(changed).scatter(1, masked_at, True)
    assert (masked.sum(1) == 20).all() and not (changed & ~masked).any()
    filled = shown[changed & ~constant]
    assert filled.mean().abs() < 0.03
    assert filled.square().mean().item() == pytest.approx(0.5, rel=0.05)


def test_every_sample_has_masked_positions_of_its_own_and_every_position_can_be_masked():
    masked_at = mask_tokens(torch.zeros(4000, 10, 2), 0.4, seeded())[1]
    masked = torch.zeros(4000, 10).scatter(1, masked_at, 1.0)
    assert (masked.mean(0) - 0.4).abs().max() < 0.03
    # Drawn without replacement the correlation of two positions is -1/9; equal masks would give 1 between samples.
    assert (torch.corrcoef(masked.T) - torch.eye(10)).abs().max() < 0.17
    assert len(masked[:100].unique(dim=0)) > 70
    # Which of the masked ones is replaced, made noisy or left does not depend on the position either.
    untouched = torch.zeros(4000, 10).scatter(1, masked_at[:, -1:], 1.0)
    assert (untouched.mean(0) - 0.1).abs().max() < 0.02


def test_masks_come_from_the_generator_alone():
    tokens = torch.randn(3, 20, 8, generator=seeded())
    assert all(map(torch.equal, mask_tokens(tokens, 0.4, seeded(5)), mask_tokens(tokens, 0.4, seeded(5))))
    assert not torch.equal(mask_tokens(tokens, 0.4, seeded(5))[1], mask_tokens(tokens, 0.4, seeded(6))[1])


def test_the_smallest_grid_still_masks_one_token():
    shown, masked_at = mask_tokens(torch.ones(2, 1, 8), 0.4, seeded())
    assert masked_at.tolist() == [[0], [0]] and (shown == 0.1).all()


def reference_mamba(mamba: Mamba, tokens: torch.Tensor) -> torch.Tensor:
    """mamba_ssm.Mamba by its published equations, with channels before time and one step after the other."""
    inputs, gate = mamba.in_proj(tokens).transpose(1, 2).chunk(2, dim=1)
    inputs = F.silu(mamba.conv1d(inputs)[..., : tokens.shape[1]])
    low, enter, leave = mamba.x_proj(inputs.transpose(1, 2)).split(mamba.split_sizes, dim=-1)
    step = F.softplus(mamba.dt_proj(low))
    rate = -mamba.A_log.exp()
    state = torch.zeros(len(tokens), *rate.shape)
    outputs = []
    for t in range(tokens.shape[1]):
        moment = step[:, t, :, None]
        state = (moment * rate).exp() * state + moment * enter[:, t, None] * inputs[:, :, t, None]
        outputs.append((state * leave[:, t, None]).sum(-1) + mamba.D * inputs[:, :, t])
    return mamba.out_proj(torch.stack(outputs, dim=1) * F.silu(gate).transpose(1, 2))


def test_a_layer_runs_mamba_forwards_on_one_half_and_backwards_on_the_other():
    layer = small().layers[0]
    tokens = torch.randn(2, 70, 32, generator=seeded())
    onward, back = tokens.chunk(2, dim=-1)
    expected = torch.cat(
        [reference_mamba(layer.forward_mamba, onward), reference_mamba(layer.backward_mamba, back.flip(1)).flip(1)],
        dim=-1,
    )
    torch.testing.assert_close(layer._scan_both(tokens.transpose(0, 1)).transpose(0, 1), expected, rtol=1e-4, atol=1e-6)


def test_weights_have_the_names_and_shapes_of_mamba_ssm():
    shapes = {name: tuple(value.shape) for name, value in Mamba(options(**PUBLISHED).architecture).state_dict().items()}
    assert shapes == {
        "A_log": (76, 8),
        "D": (76,),
        "in_proj.weight": (152, 64),
        "conv1d.weight": (76, 1, 4),
        "conv1d.bias": (76,),
        "x_proj.weight": (20, 76),
        "dt_proj.weight": (76, 4),
        "dt_proj.bias": (76,),
        "out_proj.weight": (64, 76),
    }


def test_starts_as_mamba_ssm_does():
    model = small(hidden_size=128)
    for layer in model.layers:
        for mamba in (layer.forward_mamba, layer.backward_mamba):
            torch.testing.assert_close(mamba.A_log.exp(), torch.arange(1.0, 9.0).expand(76, 8))
            assert (mamba.D == 1).all()
            step = F.softplus(mamba.dt_proj.bias)
            assert step.min() > 0.00099 and step.max() < 0.101
            # Log-uniform: the median is the geometric mean of the ends.
            assert 0.004 < step.median() < 0.025
            assert mamba.dt_proj.weight.abs().max() <= 0.5
    assert (model.tokens.class_token == 0.2).all()


def test_the_class_token_hears_of_the_channel_from_the_start():
    seen = small().embed(noise(2, 8, 8), 2).class_token
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@settings(max_examples=10)
@given(tokens=st.integers(1, 75), batch=st.integers(1, 3), seed=st.integers(0, 100))
def test_reversed_input_and_swapped_directions_give_reversed_output(tokens, batch, seed):
    layer, mirrored = small().layers
    weights = layer.state_dict()
    swapped = {}
    for name, value in weights.items():
        name = {"forward_mamba": "backward_mamba", "backward_mamba": "forward_mamba"}.get(
            name.partition(".")[0], name.partition(".")[0]
        ) + name[len(name.partition(".")[0]) :]
        swapped[name] = value
    # The halves change places too.
    swapped["split.weight"] = weights["split.weight"].roll(16, 0)
    swapped["split.bias"] = weights["split.bias"].roll(16, 0)
    swapped["merge.weight"] = weights["merge.weight"].roll(16, 1)
    mirrored.load_state_dict(swapped)
    hidden = torch.randn(tokens, batch, 32, generator=seeded(seed))
    torch.testing.assert_close(mirrored(hidden.flip(0)).flip(0), layer(hidden), rtol=1e-4, atol=1e-5)


def test_published_size():
    """What docs/published-weights.md says of the published network, by what it has more and less than ours."""
    ours, width = wimamba(**PUBLISHED), PUBLISHED["hidden_size"]
    more = nn.LayerNorm(width), nn.Linear(width, width), nn.LayerNorm(width)
    published = number_of_weights(ours, *more) - ours.tokens.class_token.numel()
    assert (number_of_weights(ours), published) == (2_469_712, 2_486_608)
    page = (PROJECT / "docs/published-weights.md").read_text()
    assert f"{published:,} weights" in page and f"ours {number_of_weights(ours):,}" in page


@pytest.mark.parametrize("patch_size, tokens", [(2, 20), (3, 12), (4, 6)])
def test_one_checkpoint_serves_every_granularity(patch_size, tokens):
    model = small()
    seen = model.embed(noise(3, 8, 10), patch_size)
    assert seen.class_token.shape == seen.mean.shape == (3, 32)
    assert seen.patches.shape == (3, tokens, 32)
    torch.testing.assert_close(seen.mean, seen.patches.mean(1))
    assert model.tokens.decode(seen.patches, patch_size).shape == (3, tokens, 2 * patch_size**2)
    assert model(noise(3, 2, 8, 10), seeded(), patch_size)["loss"].isfinite()


@torch.no_grad()
def test_granularities_share_all_but_the_embedding(tmp_path):
    """Twice as fine a grid in patches twice as large, embedded by their means, is the same to the backbone."""
    small().save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    fine = model.tokens.embeddings["2"]
    spread = fine.weight.view(-1, 2, 2, 2).repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    model.tokens.embeddings["4"].weight.copy_(spread.flatten(1))
    model.tokens.embeddings["4"].bias.copy_(fine.bias)
    csi = noise(3, 8, 10)
    coarse = model.embed(csi.repeat_interleave(2, 1).repeat_interleave(2, 2), 4)
    for name, value in vars(model.embed(csi, 2)).items():
        torch.testing.assert_close(getattr(coarse, name), value, rtol=1e-4, atol=1e-5)


@settings(max_examples=15)
@given(scale=st.floats(1e-12, 1e12), patch_size=st.sampled_from([2, 3, 4]))
def test_the_scale_of_a_snapshot_is_kept_apart(scale, patch_size):
    model = small()
    csi = noise(2, 7, 5)
    plain, scaled = model.embed(csi, patch_size), model.embed(scale * csi, patch_size)
    torch.testing.assert_close(scaled.class_token, plain.class_token, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scaled.patches, plain.patches, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scaled.scale, scale * plain.scale, rtol=1e-4, atol=0)
    expected = csi.abs().square().mean((1, 2)).sqrt()
    torch.testing.assert_close(plain.scale, expected)


def test_representations_do_not_depend_on_who_else_is_in_the_batch():
    model = small()
    csi = noise(3, 8, 8)
    alone = torch.cat([model.embed(one[None], 2).patches for one in csi])
    torch.testing.assert_close(model.embed(csi, 2).patches, alone, rtol=1e-4, atol=1e-5)


def test_training_draws_every_granularity_and_reaches_every_weight():
    model = small()
    model.zero_grad()
    for seed in range(12):
        model(noise(4, 3, 8, 12), seeded(seed))["loss"].backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_the_loss_is_the_error_of_masked_tokens_alone():
    model = small()
    # A head that answers zero leaves the energy of the masked tokens: one half, at any scale of the input.
    torch.nn.init.zeros_(model.tokens.heads["2"].weight)
    torch.nn.init.zeros_(model.tokens.heads["2"].bias)
    outputs = model(1e-6 * noise(64, 1, 16, 16), seeded(), 2)
    assert outputs["loss"].item() == pytest.approx(0.5, rel=0.05)
    assert outputs["nmse_db"].item() == pytest.approx(0, abs=1e-4)


def test_masks_granularity_and_slot_come_from_the_generator():
    model = small()
    csi = noise(2, 5, 8, 8)
    assert torch.equal(model(csi, seeded(3))["loss"], model(csi, seeded(3))["loss"])
    assert len({model(csi, seeded(seed))["loss"].item() for seed in range(4)}) == 4


def test_learns_a_plane_wave_at_both_granularities():
    model = small(patch_sizes=[2, 4], dropout=0.0)
    csi = plane_wave(4, 8, 8).expand(8, -1, -1, -1)
    optimiser = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for step in range(250):
        model(csi, seeded(step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        for patch_size in (2, 4):
            assert model.eval()(csi, seeded(1000), patch_size)["nmse_db"] < -12


def test_half_precision_gives_nearly_the_same():
    model = small()
    csi = noise(2, 12, 12)
    full = model.embed(csi, 2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.embed(csi, 2)
    half = small().to(torch.bfloat16).embed(csi, 2)
    for other in (mixed, half):
        for name in ("class_token", "patches", "mean"):
            one, two = getattr(full, name).flatten(), getattr(other, name).float().flatten()
            assert F.cosine_similarity(one, two, dim=0) > 0.999


@pytest.mark.parametrize("patch_size", [2, 3])
def test_training_in_mixed_precision_gives_nearly_the_same_loss_and_gradient(patch_size):
    model = small()
    found = []
    for mixed in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = model(noise(4, 2, 12, 12), seeded(), patch_size)["loss"]
        loss.backward()
        gradient = torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])
        found.append((loss.item(), gradient))
    (full, gradient), (mixed, mixed_gradient) = found
    assert mixed == pytest.approx(full, rel=0.03)
    assert F.cosine_similarity(gradient, mixed_gradient, dim=0) > 0.98


def test_faults_of_the_input_are_named():
    model = small(max_seq_len=17)
    with pytest.raises(InputError, match="patch_size is 5; this model has embeddings for 2, 3, 4"):
        model.embed(noise(1, 8, 8), 5)
    with pytest.raises(InputError, match=r"8 antennas x 10 subcarriers .* are 21 tokens .* max_seq_len is 17"):
        model.embed(noise(1, 8, 10), 2)
    with pytest.raises(InputError, match="max_seq_len is 17"):
        model(noise(1, 2, 8, 10), seeded(), 2)
    with pytest.raises(ValidationError, match=r"hidden_size\n.* multiple of 2"):
        options(hidden_size=33)


def test_a_saved_model_is_loaded_by_auto_class_and_embeds_the_same(tmp_path):
    model = small(mask_ratio=0.3, max_seq_len=99)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, WiMamba) and again.config.settings.architecture.patch_sizes == [2, 3, 4]
    assert (again.config.settings.architecture.mask_ratio, again.tokens.max_seq_len) == (0.3, 99)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    csi = noise(1, 8, 8)
    assert torch.equal(again.embed(csi, 4).patches, model.embed(csi, 4).patches)
