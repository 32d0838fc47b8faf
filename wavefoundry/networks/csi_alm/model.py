"""CSI-ALM: a language model that continues the CSI of an antenna port.

Source: "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and Knowledge
Distillation", arXiv:2505.12729, equations 8 to 21, 29 and 31. Where the paper is silent, the settings are those of the
published code, without its faults: the attention over channel characteristics is used, the similarity is part of the
loss, and only the known slots have noise.
"""

import torch

from wavefoundry.errors import InputError
from wavefoundry.language_models.backbone import Backbone
from wavefoundry.language_models.borrowing import BorrowingConfig, BorrowingNetwork
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.csi_alm.alignment import CrossModalAlignment, SemanticPrompts
from wavefoundry.networks.csi_alm.options import Options
from wavefoundry.networks.sequences import sequence_network
from wavefoundry.networks.sequences.sequence_layers import (
    ChannelAttentionStack,
    CircularEmbedding,
    OverTime,
    PatchMixing,
    Projection,
)
from wavefoundry.networks.sequences.sequence_network import Trace
from wavefoundry.section import why_no_whole_heads
from wavefoundry.training.session import Trained, TrainingSession


class CSIALMConfig(BorrowingConfig):
    """config.json of a CSI-ALM.

    dictionary_shape: (rows, width).
    """

    model_type = "csi_alm"
    options_class = Options

    dictionary_shape: tuple[int, int] = (0, 0)  # not given


class CSIALM(BorrowingNetwork):
    """See the module. The dictionary is a buffer and travels with the network; the language model does not."""

    config_class = CSIALMConfig
    options: Options
    dictionary: torch.Tensor

    def __init__(self, config: CSIALMConfig):
        super().__init__(config)
        options = self.options
        link, features = options.link, 2 * options.width
        self.backbone = Backbone(config.lender["config"], options.lora) if options.blocks else None
        rows, width = config.dictionary_shape
        if options.alignment is not None and (
            reason := why_no_whole_heads("alignment.heads", options.alignment.heads, "the width", width)
        ):
            raise InputError(reason)
        self.patches = PatchMixing(options.patch)
        self.characteristics = ChannelAttentionStack(options.conv_channels, options.conv_blocks)
        self.embedding = CircularEmbedding(features, width, options.dropout)
        self.over_time = OverTime(link.known_slots, link.known_slots)
        self.register_buffer("dictionary", torch.zeros(rows, width))
        self.alignment = self.prompts = None
        if options.alignment is not None:
            self.alignment = CrossModalAlignment(width, rows, options.alignment, options.dropout)
        if options.prompts is not None:
            self.prompts = SemanticPrompts(rows, options.prompts)
        tokens = link.known_slots + (options.prompts.chosen if options.prompts else 0)
        if self.backbone is not None and tokens > self.backbone.longest:
            raise InputError(f"{tokens} tokens are more than the {self.backbone.longest} of the language model")
        self.projection = Projection(width, features, tokens, link.horizon)
        self.post_init()

    def continue_features(self, features: torch.Tensor, trace: Trace) -> torch.Tensor:
        mixed = self.patches(features)
        tokens = self.over_time(self.embedding(mixed + self.characteristics.of_features(mixed)))
        if self.alignment is not None:
            tokens = self.alignment(tokens, self.dictionary)
        if self.prompts is not None:
            prompts, trace.terms["similarity"] = self.prompts(tokens, self.dictionary)
            tokens = torch.cat([prompts, tokens], dim=1)
        if self.backbone is not None:
            tokens = tokens + self.backbone(tokens)
            trace.queries_keys_values = self.backbone.queries_keys_values
        return self.projection(tokens)

    def loss_of(self, nmse: torch.Tensor, trace: Trace) -> torch.Tensor:
        """NMSE less the weighted similarity of the chosen prompts (29)."""
        if self.options.prompts is None:
            return nmse
        return nmse - self.options.prompts.similarity_weight * trace.terms["similarity"]


def on(options: Options, model: LanguageModel) -> CSIALM:
    """A fresh network on a language model."""
    network = CSIALM(CSIALMConfig.on(options, model, dictionary_shape=tuple(model.dictionary.shape)))
    if network.backbone is not None:
        network.backbone.start_from(model.weights)
    network.dictionary.copy_(model.dictionary)
    return network


def train(options: Options, session: TrainingSession) -> Trained:
    """The only phase: NMSE of the continuation and similarity of the prompts."""
    return sequence_network.train(on(options, session.language_model(options.language_model)), session)


NETWORKS = (CSIALM,)
