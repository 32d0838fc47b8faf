"""The uplink that carries feedback: our own model, for the published ones are silent about theirs.

WiFo-CF has no uplink in its code, and the letter on Tiny-WiFo fixes one "at 10 dB" without a word on modulation or
coding. Here bits are mapped on Gray-labelled QPSK or 16-QAM, every symbol is sent `repetitions` times through white
Gaussian noise, and the receiver, which knows the channel, adds up what it receives (maximum ratio combining) and
decides bit by bit. This is a repetition code of rate 1 / repetitions, decoded optimally. There is no check sum: what
arrives wrong is decoded as it is.

The two axes of a symbol carry bits independently. With g the distance of the innermost point from the decision
threshold over the noise's deviation along an axis, and Q the tail of a Gaussian:

- QPSK, g^2 = repetitions x SNR: a bit is wrong with probability Q(g);
- 16-QAM, g^2 = repetitions x SNR / 5: (3 Q(g) + 2 Q(3 g) - Q(5 g)) / 4, mean over the two bits of an axis.
"""

import math

import torch

from wavefoundry.feedback.bits import from_bits, to_bits
from wavefoundry.feedback.options import UplinkOptions

# Amplitude of an axis for its bits read as a number, neighbours differing in one bit; unit is the innermost point.
LEVELS = {"qpsk": (-1.0, 1.0), "16qam": (-3.0, -1.0, 3.0, 1.0)}


def transmit(bits: torch.Tensor, uplink: UplinkOptions, generator: torch.Generator) -> torch.Tensor:
    """Bits as they arrive.

    Args:
        bits: uint8 (sample, bit).
        uplink: the model.
        generator: of the noise, on the CPU.

    Returns:
        uint8, like `bits`.
    """
    levels = torch.tensor(LEVELS[uplink.modulation])
    width = int(math.log2(len(levels)))
    # The last symbol is filled up.
    padded = torch.nn.functional.pad(bits, (0, -bits.shape[1] % width)).unflatten(1, (-1, width))
    sent = levels[from_bits(padded)]
    received = sent + torch.randn(sent.shape, generator=generator) / _distance(uplink)
    decided = (received[..., None] - levels).abs().argmin(-1)
    return to_bits(decided, width).flatten(1)[:, : bits.shape[1]]


def bit_error_rate(uplink: UplinkOptions) -> float:
    """Probability that a bit arrives wrong, mean over the bits of a symbol."""
    distance = _distance(uplink)
    if uplink.modulation == "qpsk":
        return _tail(distance)
    return (3 * _tail(distance) + 2 * _tail(3 * distance) - _tail(5 * distance)) / 4


def _distance(uplink: UplinkOptions) -> float:
    """Of the innermost point from the threshold, in deviations of the noise after combining."""
    power = sum(level**2 for level in LEVELS[uplink.modulation]) / len(LEVELS[uplink.modulation])
    return math.sqrt(uplink.repetitions * 10 ** (uplink.snr_db / 10) / power)


def _tail(value: float) -> float:
    return math.erfc(value / math.sqrt(2)) / 2
