"""What can be wrong with a known block besides white noise. What is asked for stays clean.

Three impairments are those of CSI-4CAST ("CSI-4CAST: A Hybrid Deep Learning Model for CSI Prediction with Comprehensive
Robustness and Generalization Testing", arXiv:2510.12996), whose degrees its authors have calibrated: the power of the
error is that of white noise at an SNR, of bursts where 16 slots are known (0.9 dB more where 8 are).

| SNR [dB] | `independent_phase` deviation [rad] | `burst` degree |
|---|---|---|
| 10 | 0.32 | 0.29 |
| 15 | 0.18 | 0.16 |
| 20 | 0.10 | 0.09 |
| 25 | 0.056 | 0.054 |

`dropped_slots` they ask about with probabilities of 0.01, 0.02 ... 0.10. Their phase noise is independent from entry to
entry, which that of no oscillator is; the others here are physical ones: common to all antennas and subcarriers of a
slot (`common_phase_error`, `phase_walk`), linear over the subcarriers (`timing_jitter`), coherent over the antennas
(`interference`).

All take complex (sample, time, antenna, subcarrier) and a generator on the CPU, so that a seed means the same on every
device, and leave what they are given as it is. Powers are relative to the mean power of each sample, with its noise.
"""

import math
from dataclasses import dataclass

import torch

from wavefoundry.csi.impairment_options import (
    Burst,
    CommonPhaseError,
    DroppedSlots,
    ImpairmentOptions,
    IndependentPhase,
    Interference,
    PhaseWalk,
    TimingJitter,
)

# Of CSI-4CAST's bursts [slots].
BURST_LENGTH = 10


@dataclass(frozen=True)
class Impairment:
    """An impairment of known blocks of one data set.

    slot_duration: [s].
    subcarrier_spacing: [Hz].
    """

    options: ImpairmentOptions
    slot_duration: float
    subcarrier_spacing: float

    def apply(self, csi: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A known block with the impairment.

        Args:
            csi: complex (sample, time, antenna, subcarrier).
            generator: on the CPU.
        """
        match self.options:
            case IndependentPhase(deviation=deviation):
                return independent_phase(csi, deviation, generator)
            case CommonPhaseError(deviation=deviation):
                return common_phase_error(csi, deviation, generator)
            case PhaseWalk(linewidth=linewidth):
                return phase_walk(csi, linewidth, self.slot_duration, generator)
            case TimingJitter(deviation=deviation):
                return timing_jitter(csi, deviation, self.subcarrier_spacing, generator)
            case Burst(degree=degree):
                return burst(csi, degree, generator)
            case Interference(sir_db=sir_db):
                return interference(csi, sir_db, generator)
            case DroppedSlots(probability=probability):
                return dropped_slots(csi, probability, generator)


def independent_phase(csi: torch.Tensor, deviation: float, generator: torch.Generator) -> torch.Tensor:
    """Every entry times exp(j phi), phi ~ N(0, deviation^2) independent from entry to entry (CSI-4CAST).

    The power of the error is 2 (1 - exp(-deviation^2 / 2)) of that of the block.

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        deviation: [rad].
        generator: on the CPU.
    """
    return _turned(csi, deviation * torch.randn(csi.shape, generator=generator))


def common_phase_error(csi: torch.Tensor, deviation: float, generator: torch.Generator) -> torch.Tensor:
    """Every slot times exp(j phi), phi ~ N(0, deviation^2) independent from slot to slot.

    The phase noise of an oscillator in a phase-locked loop is bounded, and forgotten within much less than a slot; what
    all subcarriers have in common of it is the common phase error (Petrovic, Rave, Fettweis, "Effects of phase noise on
    OFDM systems with and without PLL", IEEE Transactions on Communications 55(8), 2007).

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        deviation: [rad].
        generator: on the CPU.
    """
    return _turned(csi, deviation * torch.randn(*csi.shape[:2], 1, 1, generator=generator))


def phase_walk(csi: torch.Tensor, linewidth: float, slot_duration: float, generator: torch.Generator) -> torch.Tensor:
    """Every slot times exp(j phi), where phi grows from slot to slot by N(0, 2 pi linewidth slot_duration).

    The phase of a free-running oscillator is a Wiener process and its line a Lorentzian (Demir, Mehrotra, Roychowdhury,
    "Phase noise in oscillators", IEEE Transactions on Circuits and Systems I 47(5), 2000). The last slot is not turned:
    what is asked for is told at the phase that was known last.

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        linewidth: full width at half maximum [Hz].
        slot_duration: [s].
        generator: on the CPU.
    """
    steps = torch.randn(*csi.shape[:2], 1, 1, generator=generator)
    phase = math.sqrt(2 * math.pi * linewidth * slot_duration) * steps.cumsum(1)
    return _turned(csi, phase - phase[:, -1:])


def timing_jitter(
    csi: torch.Tensor, deviation: float, subcarrier_spacing: float, generator: torch.Generator
) -> torch.Tensor:
    """Every slot is late by tau ~ N(0, deviation^2), independent from slot to slot: see `delayed`.

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        deviation: [s].
        subcarrier_spacing: [Hz].
        generator: on the CPU.
    """
    return delayed(csi, deviation * torch.randn(csi.shape[:2], generator=generator), subcarrier_spacing)


def delayed(csi: torch.Tensor, delays: torch.Tensor, subcarrier_spacing: float) -> torch.Tensor:
    """CSI whose slots arrive late: subcarrier k times exp(-j 2 pi (k - middle) subcarrier_spacing delay).

    The phase is that over the subcarriers alone, 0 in the middle of the block; one that is common to all of them is the
    matter of `common_phase_error`.

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        delays: (sample, time) [s].
        subcarrier_spacing: [Hz].
    """
    offsets = (torch.arange(csi.shape[-1]) - (csi.shape[-1] - 1) / 2) * subcarrier_spacing
    return _turned(csi, -2 * math.pi * delays[..., None, None] * offsets)


def burst(csi: torch.Tensor, degree: float, generator: torch.Generator) -> torch.Tensor:
    """White noise on up to ten slots in a row of some samples (CSI-4CAST).

    The first slot of a burst is uniform over the slots, and the burst ends with the block at the latest. The amplitude,
    relative to the root mean square of the sample, is 2 degree exp(-x^2 / 2), where x goes from -1 at the first slot to
    1 at the last one. A sample has a burst where a geometric variable (failures before a success of probability
    2 degree) is at most the number of slots, as in the released code: with probability 1 - (1 - 2 degree)^(slots + 1).

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        degree: from 0 to less than 0.5.
        generator: on the CPU.
    """
    samples, slots = csi.shape[:2]
    happens = torch.rand(samples, generator=generator) < 1 - (1 - 2 * degree) ** (slots + 1)
    first = torch.randint(slots, (samples,), generator=generator)
    length = (slots - first).clamp(max=BURST_LENGTH)
    place = torch.arange(slots) - first[:, None]
    within = (place >= 0) & (place < length[:, None]) & happens[:, None]
    # One slot alone is at the beginning.
    x = 2 * place / (length[:, None] - 1).clamp(min=1) - 1
    amplitude = torch.where(within, 2 * degree * torch.exp(-(x**2) / 2), 0.0)
    noise = torch.randn(csi.shape, dtype=csi.dtype, generator=generator)
    return csi + (noise * amplitude[..., None, None]).to(csi.device) * _root_mean_square(csi)


def interference(csi: torch.Tensor, sir_db: float, generator: torch.Generator) -> torch.Tensor:
    """The block plus one interferer: what reaches the antennas is a(antenna) s(time, subcarrier).

    The vector a is complex Gaussian, the same for the whole sample: the channel of an interferer that hardly moves,
    seen through many paths. What it sends, s, is white. Its power is exactly that of the sample divided by the SIR.

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        sir_db: signal-to-interference ratio [dB].
        generator: on the CPU.
    """
    samples, slots, antennas, subcarriers = csi.shape
    channel = torch.randn(samples, 1, antennas, 1, dtype=csi.dtype, generator=generator)
    sent = torch.randn(samples, slots, 1, subcarriers, dtype=csi.dtype, generator=generator)
    wave = (channel * sent).to(csi.device)
    return csi + wave / _root_mean_square(wave) * _root_mean_square(csi) * 10 ** (-sir_db / 20)


def dropped_slots(csi: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Every slot is zero on all antennas and subcarriers with a probability (CSI-4CAST).

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        probability: of each slot by itself.
        generator: on the CPU.
    """
    arrives = torch.rand(*csi.shape[:2], 1, 1, generator=generator) >= probability
    return torch.where(arrives.to(csi.device), csi, torch.zeros((), dtype=csi.dtype, device=csi.device))


def _turned(csi: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    """CSI times exp(j phase)."""
    return csi * torch.polar(torch.ones(()), phase.to(csi.device, torch.float32)).to(csi.dtype)


def _root_mean_square(csi: torch.Tensor) -> torch.Tensor:
    """Of each sample (sample, 1, 1, 1)."""
    return csi.abs().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
