"""Typed parameters of what can be wrong with a known block besides noise: `wavefoundry.csi.impairments`."""

from typing import Annotated, Literal

from pydantic import Field

from wavefoundry.section import NonNegative, Probability, Section


class IndependentPhase(Section):
    """Phase noise as in CSI-4CAST (arXiv:2510.12996): every entry is turned by itself."""

    kind: Literal["independent_phase"]
    deviation: NonNegative = Field(description="standard deviation of the phase of an entry [rad]")


class CommonPhaseError(Section):
    """What a locked oscillator leaves: every slot is turned as a whole, independently of all others."""

    kind: Literal["common_phase_error"]
    deviation: NonNegative = Field(description="standard deviation of the phase of a slot [rad]")


class PhaseWalk(Section):
    """A free-running oscillator: the phase common to a slot is a Wiener process."""

    kind: Literal["phase_walk"]
    linewidth: NonNegative = Field(description="full width of the oscillator's Lorentzian line at half maximum [Hz]")


class TimingJitter(Section):
    """Errors of the timing of single slots: a linear phase over the subcarriers."""

    kind: Literal["timing_jitter"]
    deviation: NonNegative = Field(description="standard deviation of the delay of a slot [s]")


class Burst(Section):
    """Burst noise as in CSI-4CAST (arXiv:2510.12996): white noise on some slots in a row."""

    kind: Literal["burst"]
    degree: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        description="half the amplitude of a burst, relative to the root mean square of the sample, and half the "
        "parameter by which bursts occur"
    )


class Interference(Section):
    """One interferer whose waves reach all antennas coherently: of rank one in space."""

    kind: Literal["interference"]
    sir_db: float = Field(description="power of the block relative to that of the interference [dB]")


class DroppedSlots(Section):
    """Packet drop as in CSI-4CAST (arXiv:2510.12996): slots that never arrive are zero."""

    kind: Literal["dropped_slots"]
    probability: Probability = Field(description="of each slot")


ImpairmentOptions = IndependentPhase | CommonPhaseError | PhaseWalk | TimingJitter | Burst | Interference | DroppedSlots
