"""Settings of CSI-ALM-Light, the student of CSI-ALM."""

from typing import Self

from pydantic import Field, model_validator

from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.section import Count, Probability, Section, require_whole_heads


class Architecture(Section):
    hidden_size: Count
    depth: Count
    heads: Count
    feed_forward: Count
    prompts: Count = Field(description="learnt tokens in front, as many as the teacher puts there")
    dropout: Probability

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_whole_heads("heads", self.heads, "hidden_size", self.hidden_size)
        return self


class Options(SequenceOptions):
    """Settings of one CSI-ALM-Light.

    Source: Li et al., "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and
    Knowledge Distillation", arXiv:2505.12729.
    """

    architecture: Architecture

    @property
    def prompt_tokens(self) -> int:
        return self.architecture.prompts

    @property
    def why_no_attention(self) -> str | None:
        return None
