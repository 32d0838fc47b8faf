"""Settings of LLM4CP, a language model that continues single sequences of a channel."""

from pydantic import Field

from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.section import Count, Probability


class Options(SequenceOptions):
    """Settings of one LLM4CP.

    Source: Liu et al., "LLM4CP: Adapting Large Language Models for Channel Prediction", arXiv:2406.14440.
    """

    language_model: str = Field(description="an entry of language_models")
    patch: Count = Field(description="slots that are mixed linearly before all else")
    conv_channels: Count = Field(description="width of the attention over channel characteristics")
    conv_blocks: Count
    dropout: Probability = Field(description="of the embedded slots")

    @property
    def language_models(self) -> tuple[str, ...]:
        return (self.language_model,)
