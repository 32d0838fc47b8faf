"""CSI-ALM-Light: the published size, and the published layers."""

import torch

from tests.networks.csi_alm_light.example import light
from tests.networks.sequences.example import SEQUENCES
from tests.networks.sequences.promises import SequencePromises
from wavefoundry.networks.sequences.sequence_network import Excerpt, Trace


class TestLight(SequencePromises):
    make = staticmethod(
        lambda **changes: light(**changes | {"link": SEQUENCES["link"] | changes.get("link", {})}).train()
    )
    overfitting = (300, 1e-2, 0.05)


def test_published_number_of_weights():
    network = light(
        link={"known_slots": 16, "horizon": 4, "subcarriers": 48},
        architecture={"hidden_size": 128, "depth": 3, "feed_forward": 128, "prompts": 4},
    )
    assert sum(weight.numel() for weight in network.parameters()) == 348_868


def test_a_batch_of_one_channel_is_learnt_by_heart():
    network = light(architecture={"hidden_size": 64}).train()
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(2, 4, 6, 4, dtype=torch.complex64, generator=generator)
    wanted = torch.randn(2, 4, 3, 4, dtype=torch.complex64, generator=generator)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    excerpt = Excerpt(known, wanted, None, torch.ones(2, 4), wanted.abs().square().mean((1, 2, 3)))
    for _ in range(400):
        loss = network.solve(excerpt, Trace())["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.01


def test_queries_keys_and_values_are_those_of_the_last_layer():
    network = light()
    features, trace, layer = torch.randn(3, 6, 8), Trace(), network.layers[-1].self_attn
    seen = []
    layer.register_forward_pre_hook(lambda module, inputs, named: seen.append(inputs[0]), with_kwargs=True)
    network.train()  # without dropout; the fast path of evaluation calls no hooks
    network.continue_features(features, trace)
    parts = zip(trace.queries_keys_values, layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
    for found, weight, bias in parts:
        torch.testing.assert_close(found, seen[0] @ weight.T + bias)
