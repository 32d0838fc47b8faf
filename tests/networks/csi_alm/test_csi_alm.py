"""CSI-ALM: what is frozen stays, what is looked up is what is nearest, and a prediction is that of one port alone."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

from storage.errors import StorageError
from storage.models.model_folder import load_model, save_model
from tests.networks.csi_alm.example import CONFIGS, TARGETS, csi_alm, language_model, options
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.language_models.backbone import Backbone
from wavefoundry.networks.config import register
from wavefoundry.networks.csi_alm.model import CSIALM, on
from wavefoundry.networks.csi_alm.options import Options
from wavefoundry.networks.csi_alm.serving import export
from wavefoundry.networks.sequences.sequence_network import Excerpt, Trace

KINDS = sorted(CONFIGS)


def channel(batch=3, slots=6, antennas=4, subcarriers=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, slots, antennas, subcarriers, dtype=torch.complex64, generator=generator)


def steps(network, number=3, rate=1e-2):
    """A few steps of training on random channels."""
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(trained, rate)
    for step in range(number):
        loss = network.train()(channel(slots=9, seed=step), torch.Generator().manual_seed(step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_adapters_change_nothing(kind):
    model = language_model(kind)
    with_adapters, without = csi_alm(kind, model=model), csi_alm(kind, model=model, lora=None)
    embeddings = torch.randn(2, 7, 32)
    assert torch.equal(with_adapters.backbone(embeddings), without.backbone(embeddings))
    original = AutoModel.from_config(AutoConfig.for_model(**CONFIGS[kind])).eval()
    original.load_state_dict(model.weights)
    torch.testing.assert_close(original(inputs_embeds=embeddings).last_hidden_state, without.backbone(embeddings))


@pytest.mark.parametrize("kind", KINDS)
def test_training_leaves_the_language_model_untouched_to_the_bit(kind):
    model = language_model(kind)
    network = steps(csi_alm(kind, model=model))
    own = network.state_dict()
    assert network.borrowed()
    for name, theirs in network.borrowed().items():
        assert torch.equal(own[name], model.weights[theirs])
    changed = [name for name, weight in own.items() if ".lora_B" in name and weight.abs().max() > 0]
    assert len(changed) == 2 * len(TARGETS[kind]) + (2 if kind == "gpt2" else 0)  # c_proj is there twice in a block


@pytest.mark.parametrize("kind", KINDS)
def test_merged_adapters_give_the_same_answers(kind):
    network = steps(csi_alm(kind))
    before = network.predict(channel(), 3, 0)
    for part in network.modules():
        if hasattr(part, "merge") and hasattr(part, "lora_A"):
            part.merge()
    torch.testing.assert_close(network.predict(channel(), 3, 0), before, rtol=1e-4, atol=1e-5)


def test_every_weight_that_is_trained_has_a_gradient():
    network = steps(csi_alm())
    network.train()(channel(slots=9), torch.Generator().manual_seed(0))["loss"].backward()
    still = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert still == []
    assert network.characteristics[0].weight.grad.abs().max() > 0


def test_the_loss_is_nmse_less_the_similarity_of_the_chosen_prompts():
    network = csi_alm()
    known, wanted = channel().transpose(1, 2), channel(slots=3, seed=1).transpose(1, 2)
    found = network.solve(
        Excerpt(known, wanted, None, torch.ones(3, 4), wanted.abs().square().mean((1, 2, 3))), Trace()
    )
    error = (network.continued(known, Trace()) - wanted).abs().square().sum((1, 2, 3))
    nmse = (error / wanted.abs().square().sum((1, 2, 3))).mean()
    torch.testing.assert_close(found["nmse"], nmse)
    torch.testing.assert_close(found["loss"], nmse - 0.1 * found["similarity"])


def test_prompts_are_the_anchors_with_the_largest_cosine():
    network = csi_alm(prompts={"chosen": 3})
    tokens = torch.randn(5, 6, 32)
    found, similarity = network.prompts(tokens, network.dictionary)
    anchors = network.prompts.anchors(network.dictionary)
    cosines = torch.stack([F.cosine_similarity(anchors, token[None]) for token in tokens.mean(1)])
    order = cosines.argsort(1, descending=True)[:, :3]
    assert torch.equal(found, anchors[order])
    torch.testing.assert_close(similarity, cosines.gather(1, order).mean())


def test_the_look_up_is_attention_of_every_token_over_the_dictionary():
    network = csi_alm()
    alignment, tokens = network.alignment, torch.randn(2, 5, 32)
    words = alignment.words(network.dictionary)
    attention = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([alignment.query.weight, alignment.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([alignment.query.bias, alignment.key_value.bias]))
        attention.out_proj.load_state_dict(alignment.leave.state_dict())
    expected = attention(tokens, words.expand(2, -1, -1), words.expand(2, -1, -1))[0]
    torch.testing.assert_close(alignment._look_up(tokens, words), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_ports_and_samples_are_predicted_each_for_itself(kind):
    network, known = csi_alm(kind), channel()
    together = network.predict(known, 3, 0)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(network.predict(known[:, :, order], 3, 0), together[:, :, order])
    torch.testing.assert_close(network.predict(known[1:2], 3, 0), together[1:2], rtol=1e-4, atol=1e-5)
    published = csi_alm(kind, statistics="batch")
    assert not torch.allclose(published.predict(known[:1], 3, 0), published.predict(known, 3, 0)[:1], atol=1e-4)


def test_what_can_be_left_out():
    for changes in ({"alignment": None}, {"prompts": None}, {"lora": None}, {"blocks": False, "lora": None}):
        network = csi_alm(**changes)
        assert network.predict(channel(), 7, 0).shape == (3, 7, 4, 4)
    assert network.borrowed() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_folder_refers_to_the_language_model(kind, tmp_path):
    model = language_model(kind)
    (tmp_path / "words").mkdir()
    save_file(
        {name: weight.contiguous() for name, weight in model.weights.items()}, tmp_path / "words/model.safetensors"
    )
    digest = hashlib.md5((tmp_path / "words/model.safetensors").read_bytes()).hexdigest()
    network = steps(csi_alm(kind, model=language_model(kind, str(tmp_path / "words"), digest)))
    save_model(network, tmp_path / "network")
    register("csi_alm")
    loaded = load_model(tmp_path / "network")
    assert torch.equal(loaded.predict(channel(), 3, 0), network.predict(channel(), 3, 0))
    borrowed = sum(weight.numel() for name, weight in network.state_dict().items() if name in network.borrowed())
    everything = sum(weight.numel() for weight in network.state_dict().values())
    assert (tmp_path / "network/model.safetensors").stat().st_size < 4 * (everything - borrowed) + 20_000

    changed = {name: weight.clone() for name, weight in model.weights.items()}
    changed[next(iter(changed))] += 1
    save_file(changed, tmp_path / "words/model.safetensors")
    with pytest.raises(StorageError, match=f"it builds on other weights than those in .*: md5 {digest}, found"):
        load_model(tmp_path / "network")
    (tmp_path / "words/model.safetensors").unlink()
    with pytest.raises(StorageError, match="there is no such file"):
        load_model(tmp_path / "network")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_served_predicts_alike(kind, tmp_path):
    network = steps(csi_alm(kind))
    export(network, tmp_path / "served")
    known = channel(subcarriers=8)
    expected = network.predict(known, 5, 0).numpy()
    found = ServedPredictor(tmp_path / "served").predict(known.numpy(), 5, 0)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_published_numbers_of_weights():
    published = {
        "link": {"known_slots": 16, "horizon": 4, "subcarriers": 48},
        "lora": {"rank": 16, "alpha": 48, "dropout": 0.2},
        "conv_channels": 64,
        "conv_blocks": 4,
        "alignment": {"rows": 484, "heads": 16, "feed_forward": 2048},
        "prompts": {"pool": 100, "chosen": 4},
    }
    config = {"model_type": "gpt2", "n_layer": 6}
    with torch.device("meta"):
        language = AutoModel.from_config(AutoConfig.for_model(**config))
        network = CSIALM(
            CSIALM.config_class(
                options=options("gpt2", **published).model_dump(mode="json"),
                delay_fraction=1.0,
                language_model={"folder": "", "digest": "", "config": config},
                dictionary_shape=(600, language.config.hidden_size),
            )
        )
    counts = [(weight.numel(), weight.requires_grad) for weight in network.parameters()]
    assert sum(count for count, trained in counts if trained) == 11_803_938  # published: 11.8 million
    assert sum(count for count, _ in counts) == 93_716_514  # published: 93.8 million


def test_faults_are_named():
    with pytest.raises(InputError, match=r"lora\.targets: 'k_proy' matches no layer of the language model, found: "):
        csi_alm(lora={"targets": ["k_proy"]})
    with pytest.raises(InputError, match=r"alignment\.heads 5 does not divide the width 32"):
        csi_alm(alignment={"heads": 5})
    with pytest.raises(ValueError, match="chosen 4 is more than the pool of 3 anchors"):
        options(prompts={"pool": 3, "chosen": 4})
    with pytest.raises(ValueError, match="adapters belong to the language model's blocks, and blocks is false"):
        options(blocks=False)
    with pytest.raises(InputError, match="70 tokens are more than the 64 of the language model"):
        csi_alm(link={"known_slots": 68})
    model = language_model()
    del model.weights["norm.weight"]
    with pytest.raises(InputError, match=r"the language model has no norm\.weight"):
        on(options(), model)
    with pytest.raises(InputError, match="language_model: found None, it must hold folder, digest and config"):
        CSIALM(CSIALM.config_class.of(options()))


def test_options_are_those_of_the_family():
    assert options().language_models == ("llama",)
    assert isinstance(options(), Options)
    assert Backbone(CONFIGS["llama"], None).borrowed().keys() == set(
        name for name, _ in Backbone(CONFIGS["llama"], None).named_parameters()
    )
