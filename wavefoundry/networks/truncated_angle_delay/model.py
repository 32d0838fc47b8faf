"""Feedback of the strongest angle-delay coefficients, uniformly quantised: the idea of the type-II codebook.

Source of the idea: 3GPP TS 38.214, 5.2.2.2.5 (enhanced type II): a channel is a sum of few beams and delays; which ones
is told by the number of the subset, and each has a quantised coefficient relative to the strongest. Ours is no
codebook of the standard, and leaves it more freedom:

- beams and delays are a plain DFT over the antennas as they are numbered, and an inverse DFT over the subcarriers; any
  coefficient may be chosen, not only combinations of some beams with some delays;
- real and imaginary part have uniform steps between minus and plus the largest part of the sample, in place of
  amplitude and phase;
- the encoder tries 1 to 8 bits for a part, for the fewer these, the more coefficients; it tells which was best.

The bits: 3 for the bits of a part, 8 for the largest part, the number of the subset, then the parts. What is left over
is 0.
"""

import math
from functools import cache

import torch
from torch import nn
from transformers import PreTrainedModel

from wavefoundry.csi.given import SNAPSHOTS, as_csi, require_finite
from wavefoundry.csi.normalisation import rms_scale
from wavefoundry.feedback.bits import from_bits, to_bits
from wavefoundry.feedback.rates import feedback_bits
from wavefoundry.networks.config import NetworkConfig
from wavefoundry.networks.truncated_angle_delay.options import Options
from wavefoundry.networks.truncated_angle_delay.subsets import number_of, subset_bits, subset_of
from wavefoundry.training.one_pass import batches
from wavefoundry.training.session import Trained, TrainingSession

CHOICE_BITS, SCALE_BITS = 3, 8
HEADER = CHOICE_BITS + SCALE_BITS
MOST_BITS = 2**CHOICE_BITS
HISTORY_RATE = 4  # of the error that the history tells


class TruncatedAngleDelayConfig(NetworkConfig):
    """config.json of a codec of truncated angle-delay coefficients."""

    model_type = "truncated_angle_delay"
    options_class = Options


class TruncatedAngleDelay(PreTrainedModel):
    """The codec; it has no weights."""

    config_class = TruncatedAngleDelayConfig
    main_input_name = "csi"

    def __init__(self, config: TruncatedAngleDelayConfig):
        super().__init__(config)
        self.options: Options = config.settings
        # Not read: a model folder without a single tensor is no model folder.
        self.unused = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """There are no weights to draw."""

    @torch.inference_mode()
    def encode(self, csi: torch.Tensor, rate: int) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`; the result is on the CPU."""
        csi = as_csi(csi, SNAPSHOTS)
        size = csi.shape[1] * csi.shape[2]
        room = feedback_bits(rate, *csi.shape[1:])
        require_finite(csi)
        csi = csi.cpu()
        unit = csi / rms_scale(csi)
        spectrum = torch.fft.ifft(torch.fft.fft(unit, dim=1, norm="ortho"), dim=2, norm="ortho").flatten(1)
        order = spectrum.abs().argsort(dim=1, descending=True, stable=True)
        parts = torch.view_as_real(spectrum.gather(1, order))  # (sample, coefficient, part)
        scales = _scale_steps(parts.abs().amax((1, 2)), size)
        limits = _scale(scales, size)[:, None, None]
        errors = []
        for width in range(1, MOST_BITS + 1):
            few = parts[:, : coefficients(size, room, width)]
            left = _values(_steps(few, limits, width), limits, width) - few
            errors.append(left.square().sum((1, 2)) - few.square().sum((1, 2)))
        widths = torch.stack(errors, dim=1).argmin(1) + 1
        bits = torch.zeros(len(csi), room, dtype=torch.uint8)
        if room < HEADER:
            return bits
        bits[:, :CHOICE_BITS] = to_bits(widths - 1, CHOICE_BITS)
        bits[:, CHOICE_BITS:HEADER] = to_bits(scales, SCALE_BITS)
        for width in widths.unique().tolist():
            rows = (widths == width).nonzero()[:, 0]
            count = coefficients(size, room, width)
            if not count:
                continue
            chosen, ranks = order[rows, :count].sort(dim=1)
            sorted_parts = parts[rows, :count].gather(1, ranks[..., None].expand(-1, -1, 2))
            start = HEADER + subset_bits(size, count)
            for row, subset in zip(rows.tolist(), chosen.tolist(), strict=True):
                word = f"{number_of(subset):0{start - HEADER}b}" if start > HEADER else ""
                bits[row, HEADER:start] = torch.tensor([int(bit) for bit in word], dtype=torch.uint8)
            words = to_bits(_steps(sorted_parts, limits[rows], width), width).flatten(1)
            bits[rows, start : start + words.shape[1]] = words
        return bits

    @torch.inference_mode()
    def decode(self, bits: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """See `wavefoundry.networks.capabilities.FeedbackCodec`."""
        size, room = shape[0] * shape[1], bits.shape[1]
        bits = bits.cpu()
        spectrum = torch.zeros(len(bits), size, dtype=torch.complex64)
        if room >= HEADER:
            widths = from_bits(bits[:, :CHOICE_BITS]) + 1
            limits = _scale(from_bits(bits[:, CHOICE_BITS:HEADER]), size)[:, None, None]
            for width in widths.unique().tolist():
                rows = (widths == width).nonzero()[:, 0]
                count = coefficients(size, room, width)
                if not count:
                    continue
                start = HEADER + subset_bits(size, count)
                numbers = ["".join(map(str, row)) or "0" for row in bits[rows, HEADER:start].tolist()]
                chosen = torch.tensor([subset_of(int(word, 2), size, count) for word in numbers])
                steps = from_bits(bits[rows, start : start + 2 * count * width].unflatten(1, (count, 2, width)))
                parts = _values(steps, limits[rows], width)
                spectrum[rows[:, None], chosen] = torch.view_as_complex(parts.contiguous())
        grid = spectrum.unflatten(1, tuple(shape))
        return torch.fft.ifft(torch.fft.fft(grid, dim=2, norm="ortho"), dim=1, norm="ortho")


@cache
def coefficients(size: int, room: int, width: int) -> int:
    """How many of `size` coefficients with `width` bits a part, and the number of their subset, `room` bits hold."""
    most = min(size, max(0, room - HEADER) // (2 * width))
    # Subsets grow in number up to half of the coefficients, and telling them costs less than telling one part more.
    while most and HEADER + subset_bits(size, most) + 2 * width * most > room:
        most -= 1
    return most


def _scale_steps(largest: torch.Tensor, size: int) -> torch.Tensor:
    """The largest part of a sample of unit power, at most the root of its size, in 256 equal steps, rounded up."""
    return (largest * 2**SCALE_BITS / math.sqrt(size)).ceil().long().clamp(1, 2**SCALE_BITS) - 1


def _scale(steps: torch.Tensor, size: int) -> torch.Tensor:
    return (steps + 1) * math.sqrt(size) / 2**SCALE_BITS


def _steps(parts: torch.Tensor, limits: torch.Tensor, width: int) -> torch.Tensor:
    """In which of 2^width equal steps from -limit to limit a part lies."""
    return ((parts / limits + 1) * 2 ** (width - 1)).floor().long().clamp(0, 2**width - 1)


def _values(steps: torch.Tensor, limits: torch.Tensor, width: int) -> torch.Tensor:
    """The middles of steps."""
    return ((steps + 0.5) / 2 ** (width - 1) - 1) * limits


def build(options: Options, delay_fraction: float) -> TruncatedAngleDelay:
    """The codec."""
    return TruncatedAngleDelay(TruncatedAngleDelayConfig.of(options))


def train(options: Options, session: TrainingSession) -> Trained:
    """Nothing is learnt; the one row of the history tells the NMSE of some training slots at 4 bits for 16 entries."""
    model = build(options, session.delay_fraction).eval()
    slots = next(batches(session.dataset, session.seed))[:, 0]
    unit = slots / rms_scale(slots)
    error = (model.decode(model.encode(slots, HISTORY_RATE), (slots.shape[1], slots.shape[2])) - unit).abs().square()
    history = [{"epoch": 1, "loss": error.mean().item()}]
    if session.on_epoch:
        session.on_epoch(history[0], 1)
    return Trained(model, history)


NETWORKS = (TruncatedAngleDelay,)
