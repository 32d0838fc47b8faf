"""Settings of a convolutional network that continues single sequences of a channel."""

from typing import Annotated

from pydantic import Field

from wavefoundry.networks.sequences.sequence_options import SequenceOptions
from wavefoundry.section import Count


class Options(SequenceOptions):
    """Settings of one convolutional network."""

    channels: Annotated[list[Count], Field(min_length=1)] = Field(
        description="of the layers from the two planes of the input to the middle; the way back mirrors them"
    )
