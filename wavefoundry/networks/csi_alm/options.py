"""Settings of CSI-ALM, a language model aligned with CSI."""

from typing import Self

from pydantic import Field, model_validator

from wavefoundry.language_models.adapter_options import LowRankAdapters
from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.section import Count, NonNegative, Probability, Section


class Alignment(Section):
    """Cross-modal alignment: tokens of CSI look up the dictionary of the language model's word embeddings."""

    rows: Count = Field(description="rows that the dictionary is mixed to, as keys and values")
    heads: Count = Field(description="of self-attention and of cross attention")
    feed_forward: Count


class Prompts(Section):
    """Semantic prompts: the anchors that are most similar to a sequence, in front of its tokens."""

    pool: Count = Field(description="anchors, mixed from the dictionary")
    chosen: Count
    similarity_weight: NonNegative = Field(description="of the chosen anchors' cosine similarity in the loss")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.chosen > self.pool:
            raise ValueError(f"chosen {self.chosen} is more than the pool of {self.pool} anchors")
        return self


class Options(SequenceOptions):
    """Settings of one CSI-ALM.

    Source: Li et al., "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and
    Knowledge Distillation", arXiv:2505.12729.
    """

    language_model: str = Field(description="an entry of language_models")
    blocks: bool = Field(description="false removes the language model's blocks, and keeps all around them")
    lora: LowRankAdapters | None = Field(description="null leaves the language model as it is")
    patch: Count = Field(description="slots that are mixed linearly before all else")
    conv_channels: Count = Field(description="width of the attention over channel characteristics")
    conv_blocks: Count
    dropout: Probability
    alignment: Alignment | None = Field(description="null leaves the look-up in the dictionary out")
    prompts: Prompts | None = Field(description="null puts no anchors in front")

    @model_validator(mode="after")
    def _check_adapters(self) -> Self:
        if self.lora is not None and not self.blocks:
            raise ValueError("lora: adapters belong to the language model's blocks, and blocks is false")
        return self

    @property
    def prompt_tokens(self) -> int:
        return self.prompts.chosen if self.prompts else 0

    @property
    def why_no_attention(self) -> str | None:
        return None if self.blocks else "its blocks is false"

    @property
    def language_models(self) -> tuple[str, ...]:
        return (self.language_model,)
