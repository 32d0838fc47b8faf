import torch

from tests.networks.convolutional.example import convolutional
from tests.networks.sequences.example import PUBLISHED_LINK, noise
from tests.networks.sequences.promises import SequencePromises
from wavefoundry.networks.sequences.sequence_network import Trace

PUBLISHED_CHANNELS = [8, 16, 32, 64, 128, 256, 512]


class TestConvolutional(SequencePromises):
    make = staticmethod(convolutional)
    overfitting = (200, 1e-2, 0.05)


def test_channels_go_up_and_back_and_real_and_imaginary_parts_are_planes():
    network = convolutional()
    layers = [layer for layer in network.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(2, 8), (8, 16), (16, 8), (8, 2)]
    images = []
    layers[0].register_forward_hook(lambda layer, inputs, output: images.append(inputs[0]))
    csi = noise(3, 4, 4)
    network.continue_features(torch.view_as_real(csi).flatten(2), Trace())
    assert torch.equal(images[0], torch.stack([csi.real, csi.imag], dim=1))


def test_the_published_number_of_weights_is_met_up_to_how_it_is_cut():
    """3,146,966 weights are 3.15 million. "Bridging the Modality Gap", arXiv:2505.12729, Table I, has 3.14: cut off, or
    1,966 less than rounding would need."""
    network = convolutional(link=PUBLISHED_LINK, channels=PUBLISHED_CHANNELS)
    assert sum(weights.numel() for weights in network.parameters()) == 3_146_966


def test_first_weights_are_the_published_ones():
    network = convolutional(channels=[8, 64])
    for layer in network.layers[::2]:
        limit = layer.in_channels**-0.5
        assert 0.9 * limit < layer.weight.abs().max() <= limit and not layer.bias.any()
