"""LLM4CP: the first blocks of a language model continue the CSI of an antenna port; their norms and positions learn.

Source: "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440, and its published code. Where
we differ: each branch mixes the slots of a patch by weights of its own, where the code uses one layer twice and leaves
the other one idle; delay taps are read as pairs of real and imaginary parts, where the code reads all real parts and
then all imaginary ones as if they alternated; the embedding of time stamps, which the code builds and never uses, is
left out.
"""

import torch
from torch import nn

from wavefoundry.errors import InputError
from wavefoundry.language_models.backbone import Backbone
from wavefoundry.language_models.borrowing import BorrowingConfig, BorrowingNetwork
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.llm4cp.options import Options
from wavefoundry.networks.sequences import sequence_network
from wavefoundry.networks.sequences.sequence_layers import (
    ChannelAttentionStack,
    CircularEmbedding,
    OverTime,
    PatchMixing,
    Projection,
)
from wavefoundry.networks.sequences.sequence_network import Trace
from wavefoundry.training.session import Trained, TrainingSession


class LLM4CPConfig(BorrowingConfig):
    """config.json of an LLM4CP."""

    model_type = "llm4cp"
    options_class = Options


class Branch(nn.Module):
    """Mixing of the slots of a patch and attention over channel characteristics, in one domain."""

    def __init__(self, options: Options):
        super().__init__()
        self.patches = PatchMixing(options.patch)
        self.characteristics = ChannelAttentionStack(options.conv_channels, options.conv_blocks)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(sequence, slot, feature) -> the same shape."""
        return self.characteristics.of_features(self.patches(features))


class LLM4CP(BorrowingNetwork):
    """See the module."""

    config_class = LLM4CPConfig
    backbone: Backbone

    def __init__(self, config: LLM4CPConfig):
        super().__init__(config)
        options: Options = config.settings
        link, features = options.link, 2 * options.width
        self.backbone = Backbone(config.lender["config"], "norms")
        if link.known_slots > self.backbone.longest:
            raise InputError(
                f"link.known_slots {link.known_slots} is more than the {self.backbone.longest} tokens that the "
                "language model reads"
            )
        self.delay = Branch(options)
        self.frequency = Branch(options)
        self.embedding = CircularEmbedding(features, self.backbone.width, options.dropout)
        self.over_time = OverTime(link.known_slots, link.known_slots)
        self.projection = Projection(self.backbone.width, features, link.known_slots, link.horizon)
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        """See `SequenceNetwork`."""
        tokens = self.embedding(self.delay(to_delay(features)) + self.frequency(features))
        hidden = self.backbone(self.over_time(tokens))
        trace.queries_keys_values = self.backbone.queries_keys_values
        return self.projection(hidden)


def to_delay(features: torch.Tensor) -> torch.Tensor:
    """Inverse discrete Fourier transform over the subcarriers, divided by their number.

    In real numbers, which an ONNX graph takes.

    Args:
        features: (..., 2 x subcarrier), real and imaginary parts alternate.

    Returns:
        (..., 2 x delay), alike.
    """
    subcarriers = features.shape[-1] // 2
    index = torch.arange(subcarriers, device=features.device)
    # Whole turns are taken off while the numbers are whole.
    angle = 2 * torch.pi / subcarriers * (index[:, None] * index % subcarriers).to(features.dtype)
    cosine, sine = angle.cos() / subcarriers, angle.sin() / subcarriers
    # (subcarrier, part in, delay, part out)
    turns = torch.stack([torch.stack([cosine, sine], dim=-1), torch.stack([-sine, cosine], dim=-1)], dim=1)
    return features @ turns.flatten(2).flatten(0, 1)


def on(options: Options, model: LanguageModel) -> LLM4CP:
    """A fresh network on a language model."""
    network = LLM4CP(LLM4CPConfig.on(options, model))
    network.backbone.start_from(model.weights)
    return network


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: continuation of noisy CSI."""
    return sequence_network.train(on(options, session.language_model(options.language_model)), session)


NETWORKS = (LLM4CP,)
