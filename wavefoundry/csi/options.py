"""Typed parameters of the CSI and of its angle-delay form."""

from typing import Annotated

from pydantic import Field

from wavefoundry.section import Count, Fraction, NonNegative, Positive, Section

# Of one sample.
MOST_SLOTS, MOST_SUBCARRIERS = 10**6, 10**6


class OFDM(Section):
    subcarriers: Annotated[int, Field(ge=2, le=MOST_SUBCARRIERS)]
    subcarrier_spacing: Positive = Field(description="distance of neighbouring subcarriers in the data [Hz]")
    timing_advance: NonNegative = Field(
        description="the first path of a sample arrives this long after the start of the delay axis [s]"
    )
    links_per_call: Count = Field(description="samples in a unit of work, which bounds memory")


class AngleDelay(Section):
    delay_fraction: Fraction = Field(
        description="share of the delay bins that is kept, the earliest ones (`keep_percentage` of the card)"
    )
