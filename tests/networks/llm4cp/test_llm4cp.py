from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import GPT2Config

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from storage.digests import digest
from storage.models.model_folder import load_model, save_model
from tests.networks.llm4cp.example import CONFIGS, language_model, llm4cp, options
from tests.networks.sequences.example import PUBLISHED_LINK, noise
from tests.networks.sequences.promises import SequencePromises, seeded
from wavefoundry.errors import InputError
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.llm4cp.model import LLM4CP, LLM4CPConfig, on, to_delay
from wavefoundry.networks.sequences.sequence_network import Trace

PUBLISHED = {"link": PUBLISHED_LINK, "patch": 4, "conv_channels": 64, "conv_blocks": 4}


class TestOnGPT2(SequencePromises):
    make = staticmethod(llm4cp)
    overfitting = (200, 1e-2, 0.05)


class TestOnLlama(SequencePromises):
    make = staticmethod(lambda **changes: llm4cp("llama", **changes))
    overfitting = (200, 1e-2, 0.05)


@pytest.mark.parametrize("kind", CONFIGS)
def test_of_the_language_model_norms_and_positions_are_trained_and_nothing_else(kind):
    network, before = llm4cp(kind), language_model(kind).weights
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    network(noise(4, 6, 4, 4), seeded())["loss"].backward()
    optimiser.step()
    moved = {
        name for name, weight in network.backbone.model.named_parameters() if not torch.equal(weight, before[name])
    }
    assert moved == {name for name in before if "norm" in name or "ln_" in name or "wpe" in name}
    lent = {name.removeprefix("backbone.model.") for name in network.borrowed()}
    assert lent == set(before) - moved
    # All around it learns.
    assert all(weight.grad.any() for name, weight in network.named_parameters() if not name.startswith("backbone."))


@given(subcarriers=st.integers(1, 70), seed=st.integers(0, 99))
def test_the_delay_branch_reads_the_inverse_fourier_transform(subcarriers, seed):
    csi = noise(2, 3, subcarriers, seed=seed)
    expected = torch.view_as_real(torch.fft.ifft(csi)).flatten(2)
    torch.testing.assert_close(to_delay(torch.view_as_real(csi).flatten(2)), expected, rtol=1e-4, atol=1e-6)


def test_the_embedding_reads_the_sum_of_both_branches():
    network, heard = llm4cp(), {}
    for name in ("delay", "frequency", "embedding"):
        layer = getattr(network, name)
        layer.register_forward_hook(lambda layer, inputs, output, name=name: heard.update({name: (inputs[0], output)}))
    features = torch.view_as_real(noise(2, 4, 4)).flatten(2)
    network.continue_features(features, Trace())
    assert torch.equal(heard["frequency"][0], features) and torch.equal(heard["delay"][0], to_delay(features))
    assert torch.equal(heard["embedding"][0], heard["delay"][1] + heard["frequency"][1])


def test_the_last_attention_is_told_of_the_last_pass():
    network, trace = llm4cp(), Trace()
    network.continue_features(torch.randn(3, 4, 8), trace)
    assert [part.shape for part in trace.queries_keys_values] == [(3, 4, 16)] * 3


def test_the_published_numbers_of_weights_are_met():
    """82,872,160 and 1,765,984 by arithmetic on the published code, of which 3,072 are those of an embedding of time
    stamps (4 x 768), which is built there and trained by name, but never used. We have none."""
    config = GPT2Config(n_layer=6).to_dict()
    model = LanguageModel("gpt2", "nowhere", "0", config, {}, torch.zeros(1, 768))
    with torch.device("meta"):
        network = LLM4CP(LLM4CPConfig.on(options(**PUBLISHED), model))
    assert sum(weights.numel() for weights in network.parameters()) == 82_872_160 - 3_072
    assert sum(weights.numel() for weights in network.parameters() if weights.requires_grad) == 1_765_984 - 3_072


def test_a_saved_network_leaves_frozen_weights_where_they_are_and_predicts_the_same(tmp_path):
    model = language_model()
    save_file(model.weights, tmp_path / "model.safetensors")
    model = replace(model, folder=str(tmp_path), digest=digest(tmp_path / "model.safetensors"))
    torch.manual_seed(0)
    network = on(options(), model).eval()
    save_model(network, tmp_path / "saved")
    with safe_open(tmp_path / "saved/model.safetensors", framework="pt") as weights:
        assert set(weights.keys()) == set(network.state_dict()) - set(network.borrowed())
    again = load_model(tmp_path / "saved")
    assert isinstance(again, LLM4CP) and again.options == network.options
    assert torch.equal(again.predict(noise(2, 4, 3, 4), 2, 0), network.predict(noise(2, 4, 3, 4), 2, 0))


def test_what_the_language_model_cannot_read_is_refused():
    with pytest.raises(InputError, match=r"link\.known_slots 40 is more than the 32 tokens"):
        llm4cp(link={"known_slots": 40})


def test_the_options_name_their_language_model():
    assert options(language_model="phrases").language_models == ("phrases",)
