"""Settings of a transformer that continues single sequences of a channel."""

from typing import Self

from pydantic import Field, model_validator

from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.section import Count, Probability, require_whole_heads


class Options(SequenceOptions):
    """Settings of one transformer."""

    label_slots: Count = Field(description="last known slots that the decoder reads as well, before the wanted ones")
    hidden_size: Count
    heads: Count
    encoder_depth: Count
    decoder_depth: Count
    feed_forward: Count = Field(description="inner width of the feed-forward layers")
    dropout: Probability

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_whole_heads("heads", self.heads, "hidden_size", self.hidden_size)
        if self.label_slots > self.link.known_slots:
            raise ValueError(f"label_slots {self.label_slots} is more than link.known_slots {self.link.known_slots}")
        return self
