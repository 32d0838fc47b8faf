"""Settings of a recurrent network that continues single sequences of a channel."""

from typing import Literal

from pydantic import Field

from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.section import Count


class Options(SequenceOptions):
    """Settings of one recurrent network."""

    cell: Literal["rnn", "gru", "lstm"]
    input_size: Count = Field(description="width of what the recurrent layers read of a slot")
    hidden_size: Count = Field(description="width of their state")
    depth: Count = Field(description="recurrent layers")
