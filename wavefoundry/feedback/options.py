"""Typed parameters of the uplink that carries feedback."""

from typing import Literal

from pydantic import Field

from wavefoundry.section import Count, Section


class UplinkOptions(Section):
    """How the bits are sent; see `wavefoundry.feedback.uplink`."""

    snr_db: float = Field(description="energy of a symbol over the density of the noise [dB]")
    modulation: Literal["qpsk", "16qam"]
    repetitions: Count = Field(description="how often every symbol is sent: the code rate is 1 / repetitions")
