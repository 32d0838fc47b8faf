"""A shortened language model is the beginning of the whole one."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from tests.language_models.example import ARCHITECTURES, BLOCKS, WORDS, tiny
from wavefoundry.errors import InputError
from wavefoundry.language_models.reduction import reduced, word_embeddings

FINAL_NORM = {"gpt2": "ln_f", "llama": "norm"}


def built(config, weights):
    network = AutoModel.from_config(AutoConfig.for_model(**config)).eval()
    network.load_state_dict(weights, strict=True)
    return network


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("blocks", [1, 3, BLOCKS])
def test_hidden_states_are_those_of_the_whole_model_after_so_many_blocks(kind, blocks):
    whole = tiny(kind)
    short = built(*reduced(whole.base_model, blocks))
    assert hasattr(short, FINAL_NORM[kind])
    for network in (short, whole.base_model):
        setattr(network, FINAL_NORM[kind], nn.Identity())
    tokens = torch.arange(2 * 11).reshape(2, 11) % WORDS
    with torch.inference_mode():
        found = short(tokens).last_hidden_state
        expected = whole.base_model(tokens, output_hidden_states=True).hidden_states[blocks]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_kept_weights_are_those_of_the_source_and_nothing_else_is_kept(kind):
    whole = tiny(kind)
    source = whole.base_model.state_dict()
    config, weights = reduced(whole.base_model, 2)
    assert weights and all(torch.equal(value, source[name]) for name, value in weights.items())
    assert config["model_type"] == kind and AutoConfig.for_model(**config).num_hidden_layers == 2
    assert set(built(config, weights).state_dict()) == set(weights)
    # Half of the blocks are gone, and of the rest nothing.
    kept = [name for name in weights if ".0." in name or ".1." in name]
    assert len(source) - len(weights) == len(kept) > 0
    assert not any("head" in name for name in weights)


def test_a_list_with_one_item_for_each_block_is_cut_too():
    config = AutoConfig.for_model(
        "qwen2", hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, vocab_size=64,
        num_key_value_heads=2, use_sliding_window=True, sliding_window=8, max_window_layers=2,
    )  # fmt: skip
    whole = AutoModel.from_config(config)
    config, weights = reduced(whole, 3)
    assert config["layer_types"] == whole.config.layer_types[:3]
    assert set(built(config, weights).state_dict()) == set(weights)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_more_blocks_than_there_are_are_refused(kind):
    with pytest.raises(InputError, match="blocks is 5, allowed: 1 to 4, the blocks of the model"):
        reduced(tiny(kind).base_model, 5)


def test_word_embeddings_have_a_row_for_each_word():
    assert word_embeddings(tiny("gpt2").base_model).shape[0] == WORDS
