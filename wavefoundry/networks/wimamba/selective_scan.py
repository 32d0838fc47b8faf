"""The selective scan of Mamba-1 for several directions at once.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv:2312.00752: for every channel and
state, with the zero-order hold for the transition and its first order for the input,

    h_t = exp(step_t A) h_{t-1} + step_t B_t x_t,    y_t = sum over states of C_t h_t.

On CUDA the kernels of `mamba-ssm` compute it where that package is installed. Everywhere else plain torch does, in
chunks of time that stay in the processor's cache: what does not depend on the state is computed for a whole chunk, and
each step is then a single operation on all states. Neither divides by a transition nor takes its logarithm, so nothing
overflows however fast a state decays.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch.autograd.function import once_differentiable

# Slots of a chunk: at WiMamba's size with a batch of four its three buffers have 2 MB.
CHUNK = 32
LOG2_E = 1 / math.log(2)


def selective_scan(
    inputs: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, enter: torch.Tensor, leave: torch.Tensor
) -> torch.Tensor:
    """Scan over time, from a state of zero.

    Args:
        inputs: x, (time, direction, batch, channel). Time comes first, so that all a step needs lies together.
        step: (time, direction, batch, channel), positive.
        rate: A, (direction, channel, state), negative.
        enter, leave: B and C, (time, direction, batch, state).

    Returns:
        y, like `inputs`. The state is kept in single precision, or in double where an argument is double.
    """
    kernel = cuda_kernel() if inputs.is_cuda else None
    if kernel is not None and inputs.dtype != torch.float64:
        return _scan_by_kernel(kernel, inputs, step, rate, enter, leave)
    arguments = (inputs, step, rate, enter, leave)
    precision = torch.float64 if any(value.dtype == torch.float64 for value in arguments) else torch.float32
    with torch.autocast(inputs.device.type, enabled=False):
        return _Scan.apply(*(value.to(precision) for value in arguments)).to(inputs.dtype)


@cache
def cuda_kernel() -> Callable | None:
    """The scan of mamba-ssm, or None where that package is not installed."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError:
        return None
    return selective_scan_fn


def _scan_by_kernel(kernel, inputs, step, rate, enter, leave):
    """The directions are groups of channels to the kernel; each group has its own B and C. Time comes last there."""

    def of_kernel(values: torch.Tensor) -> torch.Tensor:
        return values.to(inputs.dtype).permute(2, 1, 3, 0).contiguous()

    outputs = kernel(
        of_kernel(inputs).flatten(1, 2),
        of_kernel(step).flatten(1, 2),
        rate.flatten(0, 1).float().contiguous(),
        of_kernel(enter),
        of_kernel(leave),
    )
    return outputs.unflatten(1, inputs.shape[1::2]).permute(3, 1, 0, 2)


class _Scan(torch.autograd.Function):
    """Inside, states come before channels: (time, direction, batch, state, channel).

    Only the states between chunks are kept for the gradient; those inside are computed again.
    """

    @staticmethod
    def forward(context, inputs, step, rate, enter, leave):
        step, enter, leave = (values.contiguous() for values in (step, enter, leave))
        entering = step * inputs
        rate = rate.transpose(1, 2).unsqueeze(1).contiguous()
        length = step.shape[0]
        borders = step.new_zeros(-(-length // CHUNK), *step.shape[1:3], *rate.shape[-2:])
        outputs = torch.empty_like(step)
        chunk = _Chunk(step, rate)
        for index, start in enumerate(range(0, length, CHUNK)):
            part = slice(start, min(start + CHUNK, length))
            _, states = chunk.run(step[part], entering[part], enter[part], borders[index])
            torch.matmul(leave[part].unsqueeze(-2), states, out=outputs[part].unsqueeze(-2))
            if part.stop < length:
                borders[index + 1] = states[-1]
        context.save_for_backward(step, entering, rate, enter, leave, inputs, borders)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        """With g_t the gradient of h_t and a_t its transition: g_t = C_t dy_t + a_{t+1} g_{t+1}."""
        step, entering, rate, enter, leave, inputs, borders = context.saved_tensors
        gradient = gradient.contiguous()
        of_step, of_entering = torch.empty_like(step), torch.empty_like(step)
        of_enter, of_leave = torch.empty_like(enter), torch.empty_like(leave)
        of_rate = torch.zeros_like(rate)
        chunk = _Chunk(step, rate)
        buffer = torch.empty_like(chunk.states)
        # What the next chunk hands back: a_{t+1} g_{t+1} of its first slot.
        carried = torch.zeros_like(borders[0])
        with torch.autocast(gradient.device.type, enabled=False):
            for index in reversed(range(len(borders))):
                part = slice(index * CHUNK, min((index + 1) * CHUNK, len(step)))
                transition, states = chunk.run(step[part], entering[part], enter[part], borders[index])
                back = torch.mul(leave[part].unsqueeze(-1), gradient[part].unsqueeze(-2), out=buffer[: len(states)])
                slots = list(zip(transition.unbind(0), back.unbind(0), strict=True))
                slots[-1][1].add_(carried)
                for (after, known), (_, wanted) in zip(slots[:0:-1], slots[-2::-1], strict=True):
                    torch.addcmul(wanted, after, known, out=wanted)
                torch.mul(*slots[0], out=carried)

                torch.matmul(states, gradient[part].unsqueeze(-1), out=of_leave[part].unsqueeze(-1))
                torch.matmul(back, entering[part].unsqueeze(-1), out=of_enter[part].unsqueeze(-1))
                torch.matmul(enter[part].unsqueeze(-2), back, out=of_entering[part].unsqueeze(-2))
                # Gradient of the exponent step_t A: g_t h_{t-1} a_t.
                back.mul_(transition)
                back[0].mul_(borders[index])
                back[1:].mul_(states[:-1])
                of_step[part] = torch.einsum("tgbsc,gsc->tgbc", back, rate[:, 0])
                of_rate[:, 0] += torch.einsum("tgbsc,tgbc->gsc", back, step[part])
        of_step.addcmul_(of_entering, inputs)
        of_inputs = of_entering.mul_(step)
        return of_inputs, of_step, of_rate[:, 0].transpose(1, 2), of_enter, of_leave


class _Chunk:
    """Transitions and states of one chunk, in buffers used for every chunk."""

    def __init__(self, step: torch.Tensor, rate: torch.Tensor):
        # On CPUs exp2 is several times as fast as exp.
        self.rate = rate * LOG2_E
        shape = (min(CHUNK, len(step)), *step.shape[1:3], *rate.shape[-2:])
        self.transition = step.new_empty(shape)
        self.states = step.new_empty(shape)

    def run(self, step, entering, enter, state) -> tuple[torch.Tensor, torch.Tensor]:
        transition = torch.mul(step.unsqueeze(-2), self.rate, out=self.transition[: len(step)]).exp2_()
        states = torch.mul(entering.unsqueeze(-2), enter.unsqueeze(-1), out=self.states[: len(step)])
        for factor, now in zip(transition.unbind(0), states.unbind(0), strict=True):
            state = torch.addcmul(now, factor, state, out=now)
        return transition, states
