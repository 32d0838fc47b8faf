import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.networks.lwm.example import PUBLISHED, lwm, options
from tests.networks.wimamba import example as wimamba_example
from tests.parameters import PROJECT
from wavefoundry.errors import InputError
from wavefoundry.networks.axis_positions import position_encoding
from wavefoundry.networks.lwm.model import DIRECTIONS, LWM, Attention


def small(**changes) -> LWM:
    return lwm(**changes).eval()


def noise(*shape, seed=1) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=seeded(seed))


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_attention_is_the_softmax_of_scaled_products():
    attention = Attention(options().architecture)
    tokens = torch.randn(2, 9, 32, generator=seeded())
    heads = []
    for query, key, value in zip(*(part.split(8, -1) for part in attention.qkv(tokens).chunk(3, -1)), strict=True):
        heads.append((query @ key.mT / math.sqrt(8)).softmax(-1) @ value)
    torch.testing.assert_close(attention(tokens), attention.out(torch.cat(heads, -1)), rtol=1e-4, atol=1e-5)


def test_is_as_large_as_wimamba():
    models = lwm(**PUBLISHED), wimamba_example.wimamba(**wimamba_example.PUBLISHED)
    ours, other = map(wimamba_example.number_of_weights, models)
    assert ours == 2_507_504
    assert ours == pytest.approx(other, rel=0.02)


def test_published_size():
    """What docs/published-weights.md says of the published network, by what it has more and less than ours."""
    ours, width = lwm(**PUBLISHED), PUBLISHED["hidden_size"]
    more = nn.Linear(width, width), nn.LayerNorm(width)
    published = wimamba_example.number_of_weights(ours, *more) - ours.tokens.class_token.numel()
    assert published == 2_524_144
    page = (PROJECT / "docs/published-weights.md").read_text()
    assert f"{published:,} weights, ours {wimamba_example.number_of_weights(ours):,}" in page


def test_sees_the_same_tokens_and_masks_as_wimamba():
    ours, other = small(), wimamba_example.wimamba(depth=1)
    other.tokens.load_state_dict(ours.tokens.state_dict())
    seen = []
    for model in (ours, other.eval()):
        model.encode = lambda hidden, grid: seen.append(hidden) or hidden
        model(noise(3, 4, 8, 8), seeded(7))
    assert torch.equal(*seen)


def test_positions_tell_tokens_apart():
    model = small()
    hidden = model.tokens.embed(torch.ones(1, 6, 8), 2)
    encoded = model.encode(hidden, (2, 3))[0, 1:]
    assert (encoded[1:] - encoded[:1]).abs().amax(-1).min() > 1e-3
    assert not torch.allclose(model.encode(hidden, (3, 2))[0, 1:], encoded, atol=1e-3)
    torch.nn.init.normal_(model.positions)
    assert not torch.allclose(model.encode(hidden, (2, 3))[0, 1:], encoded, atol=1e-3)


def test_at_the_start_each_head_of_every_layer_reads_the_patch_on_its_side():
    model, rows, columns = small(hidden_size=64, heads=4, patch_sizes=[2]), 5, 7
    torch.nn.init.zeros_(model.positions)
    places = torch.nn.functional.pad(position_encoding((rows, columns), (32, 32)), (0, 0, 1, 0))
    values = torch.randn(1, rows * columns, 8, generator=seeded())
    # Patches of one power.
    values = values * (4 / values.square().sum(-1, keepdim=True)) ** 0.5
    tokens = model.norm(model.tokens.embed(values, 2) + places)
    for layer in model.layers:
        query, key, _ = layer.attention.qkv(tokens).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        looked_at = (query @ key.mT)[0, :, 1:, 1:].argmax(-1)
        for head, (axis, side) in enumerate(DIRECTIONS):
            place = torch.cartesian_prod(torch.arange(1, rows - 1), torch.arange(1, columns - 1))
            beside = place.clone()
            beside[:, axis] += side
            index, target = (where[:, 0] * columns + where[:, 1] for where in (place, beside))
            assert torch.equal(looked_at[head, index], target), (head, axis, side)


@pytest.mark.parametrize("patch_size, tokens", [(2, 20), (3, 12), (4, 6)])
def test_one_checkpoint_serves_every_granularity(patch_size, tokens):
    model = small()
    seen = model.embed(noise(3, 8, 10), patch_size)
    assert seen.class_token.shape == seen.mean.shape == (3, 32)
    assert seen.patches.shape == (3, tokens, 32)
    assert model(noise(3, 2, 8, 10), seeded(), patch_size)["loss"].isfinite()


def test_training_reaches_every_weight():
    model = small(max_seq_len=25)
    for seed in range(12):
        model(noise(4, 3, 8, 12), seeded(seed))["loss"].backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_learns_a_plane_wave():
    model = small(dropout=0.0, patch_sizes=[2])
    phase = 0.13 * torch.arange(8)[:, None] - 0.07 * torch.arange(8)
    csi = torch.polar(torch.ones(8, 8), 2 * math.pi * phase).expand(8, 1, 8, 8)
    optimiser = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for step in range(150):
        model(csi, seeded(step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        assert model.eval()(csi, seeded(1000))["nmse_db"] < -10


def test_faults_of_the_input_are_named():
    model = small(max_seq_len=17)
    with pytest.raises(InputError, match="patch_size is 5; this model has embeddings for 2, 3, 4"):
        model.embed(noise(1, 8, 8), 5)
    with pytest.raises(InputError, match=r"21 tokens .* max_seq_len is 17"):
        model.embed(noise(1, 8, 10), 2)
    with pytest.raises(ValidationError, match="heads 5 does not divide hidden_size 32"):
        options(heads=5)
    with pytest.raises(ValidationError, match="hidden_size 33 is odd"):
        options(hidden_size=33, heads=3)


def test_a_saved_model_is_loaded_by_auto_class_and_embeds_the_same(tmp_path):
    model = small()
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, LWM)
    csi = noise(1, 8, 8)
    assert torch.equal(again.embed(csi, 4).patches, model.embed(csi, 4).patches)
