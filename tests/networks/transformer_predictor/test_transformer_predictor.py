import pytest
import torch
from pydantic import ValidationError

from tests.networks.sequences.example import PUBLISHED_LINK, noise
from tests.networks.sequences.promises import SequencePromises, drawn
from tests.networks.transformer_predictor.example import options, transformer_predictor
from wavefoundry.networks.sequences.sequence_network import Trace

# Depths are the published ones, label slots and heads as well; the widths are found by arithmetic.
PUBLISHED = {
    "link": PUBLISHED_LINK,
    "label_slots": 12,
    "hidden_size": 288,
    "heads": 8,
    "encoder_depth": 3,
    "decoder_depth": 2,
    "feed_forward": 1472,
}


class TestTransformerPredictor(SequencePromises):
    make = staticmethod(transformer_predictor)
    overfitting = (200, 5e-3, 0.05)


def test_the_decoder_reads_the_last_known_slots_and_zeros():
    network, heard = transformer_predictor(), []
    network.wanted_embedding.register_forward_hook(lambda layer, inputs, output: heard.append(inputs[0]))
    features = torch.view_as_real(noise(2, 4, 4)).flatten(2)
    network.continue_features(features, Trace())
    assert torch.equal(heard[0], torch.cat([features[:, -3:], torch.zeros(2, 2, 8)], dim=1))


def test_fused_inference_is_what_was_trained():
    network = drawn(transformer_predictor())
    features = torch.view_as_real(noise(2, 4, 4)).flatten(2)
    with torch.inference_mode():
        fused = network.continue_features(features, Trace())
    torch.testing.assert_close(fused, network.train().continue_features(features, Trace()).detach())


def test_the_published_number_of_weights_is_met():
    """6.78 million, "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and
    Knowledge Distillation", arXiv:2505.12729, Table I. With Informer's default widths, 512 and 512, it would be 10.3
    million, and 11.9 million with the convolutions that we leave out: the published one had other sizes.
    """

    def size(**changes) -> int:
        return sum(weights.numel() for weights in transformer_predictor(**(PUBLISHED | changes)).parameters())

    assert size() == 6_780_352
    defaults = size(hidden_size=512, feed_forward=512)
    assert defaults == 10_339_424
    assert defaults + 2 * (3 * 512**2 + 3 * 512) == 11_915_360


def test_options_that_do_not_fit_are_named():
    with pytest.raises(ValidationError, match=r"label_slots 5 is more than link\.known_slots 4"):
        options(label_slots=5)
    with pytest.raises(ValidationError, match="heads 5 does not divide hidden_size 24"):
        options(heads=5)
