"""Typed parameters of the evaluation of channel feedback."""

from typing import Annotated

from pydantic import AfterValidator, Field

from wavefoundry.feedback.options import UplinkOptions
from wavefoundry.feedback.rates import Rate
from wavefoundry.section import Count, Section, Seed, require_distinct


class Feedback(Section):
    """Every codec on one slot of every sample, at several rates."""

    rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(require_distinct)] = Field(
        description="bits for every 16 channel entries"
    )
    snr_db: float = Field(description="SNR of the channel that is fed back [dB]")
    noise_seed: Seed = Field(description="of that noise and of the uplink's")
    batch_size: Count
    beamforming_snr_db: float = Field(description="of one antenna, where recovered channels steer beams [dB]")
    uplink: UplinkOptions


def question(rate: int) -> str:
    """What a rate is called in the table of results."""
    return f"{rate} bits"
