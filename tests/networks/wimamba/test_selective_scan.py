"""The scan against the recurrence written out, step by step in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.networks.wimamba.selective_scan import CHUNK, _scan_by_kernel, cuda_kernel, selective_scan


def oracle(inputs, step, rate, enter, leave) -> torch.Tensor:
    """h_t = exp(step_t A) h_{t-1} + step_t B_t x_t, y_t = C_t h_t, one slot after the other, in float64."""
    inputs, step, rate, enter, leave = (values.double() for values in (inputs, step, rate, enter, leave))
    state = inputs.new_zeros(*inputs.shape[1:3], *rate.shape[1:])
    outputs = []
    for t in range(len(inputs)):
        moment = step[t, ..., None]
        state = (moment * rate[:, None]).exp() * state + moment * enter[t, :, :, None] * inputs[t, ..., None]
        outputs.append((state * leave[t, :, :, None]).sum(-1))
    return torch.stack(outputs)


def arguments(directions=2, batch=2, length=5, channels=3, states=4, seed=0, dtype=torch.float32, scale=0.1):
    """Inputs of a scan; steps around `scale`, rates from -1 to -states as Mamba starts them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    rate = -torch.arange(1, states + 1, dtype=dtype) * (0.1 * normal(directions, channels, states)).exp()
    shape = (length, directions, batch)
    step = scale * normal(*shape, channels).exp()
    return [normal(*shape, channels), step, rate, normal(*shape, states), normal(*shape, states)]


def relative_error(outputs: torch.Tensor, expected: torch.Tensor) -> float:
    return ((outputs.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-300)).item()


@settings(max_examples=60)
@given(
    directions=st.integers(1, 3),
    batch=st.integers(1, 3),
    length=st.integers(1, 2 * CHUNK + 3),
    channels=st.integers(1, 9),
    states=st.integers(1, 5),
    scale=st.sampled_from([1e-4, 0.1, 3.0]),
    seed=st.integers(0, 1000),
)
def test_is_the_recurrence_for_every_shape(directions, batch, length, channels, states, scale, seed):
    values = arguments(directions, batch, length, channels, states, seed, scale=scale)
    outputs = selective_scan(*values)
    assert outputs.dtype == torch.float32
    assert relative_error(outputs, oracle(*values)) < 1e-5
    assert relative_error(selective_scan(*(value.double() for value in values)), oracle(*values)) < 1e-12


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_gradients_are_those_of_the_recurrence_at_the_borders_of_chunks(length):
    values = [value.requires_grad_() for value in arguments(length=length, dtype=torch.float64)]
    weights = torch.randn(length, 2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad((selective_scan(*values) * weights).sum(), values)
    expected = torch.autograd.grad((oracle(*values) * weights).sum(), values)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_gradcheck():
    values = arguments(directions=1, batch=1, length=CHUNK + 2, channels=2, states=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(selective_scan, [value.requires_grad_() for value in values])


def test_a_long_memory_reaches_across_chunks():
    """With A -> 0 and B = C = step = 1 the scan is a cumulative sum."""
    length = 5 * CHUNK
    inputs = torch.randn(length, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(length, 1, 1, 1)
    outputs = selective_scan(inputs, ones, torch.full((1, 1, 1), -1e-12), ones, ones)
    torch.testing.assert_close(outputs, inputs.cumsum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1e2, 1e6, 1e30])
def test_the_fastest_decay_neither_overflows_nor_leaves_a_trace(scale):
    inputs, step, rate, enter, leave = arguments(length=2 * CHUNK)
    values = [inputs, torch.full_like(step, scale), rate, enter / scale, leave]
    values = [value.requires_grad_() for value in values]
    outputs = selective_scan(*values)
    expected = (enter * leave).sum(-1, keepdim=True) * inputs
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    outputs.sum().backward()
    assert all(value.grad.isfinite().all() for value in values)


def test_later_slots_never_change_earlier_outputs():
    values = arguments(length=2 * CHUNK)
    changed = [value.clone() for value in values]
    for index in (0, 1, 3, 4):
        changed[index][CHUNK + 5 :] *= 3
    before, after = selective_scan(*values), selective_scan(*changed)
    assert torch.equal(before[: CHUNK + 5], after[: CHUNK + 5])
    assert not torch.allclose(before[CHUNK + 5 :], after[CHUNK + 5 :])


def test_a_slot_whose_step_is_zero_is_padding():
    """Step 0 holds the state and lets nothing in: padding may stand anywhere."""
    inputs, step, rate, enter, leave = arguments(length=10)
    kept = [0, 1, 2, 5, 6, 9]
    step[[3, 4, 7, 8]] = 0
    short = selective_scan(inputs[kept], step[kept], rate, enter[kept], leave[kept])
    torch.testing.assert_close(selective_scan(inputs, step, rate, enter, leave)[kept], short)


def test_directions_and_samples_are_apart():
    values = arguments(directions=3, batch=4, length=CHUNK + 1)
    together = selective_scan(*values)
    for direction in range(3):
        for sample in range(4):
            rate = values[2][direction : direction + 1]
            inputs, step, enter, leave = (
                values[index][:, direction : direction + 1, sample : sample + 1] for index in (0, 1, 3, 4)
            )
            alone = selective_scan(inputs, step, rate, enter, leave)
            torch.testing.assert_close(alone[:, 0, 0], together[:, direction, sample])


def test_half_precision_keeps_its_state_in_single_precision():
    values = arguments(length=2000, dtype=torch.bfloat16, scale=0.003)
    expected = oracle(*values)
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            outputs = selective_scan(*values)
        assert outputs.dtype == torch.bfloat16
        # Nothing is rounded but the result.
        assert (outputs == expected.to(torch.bfloat16)).double().mean() > 0.999


def test_autocast_does_not_reach_the_gradient():
    values = [value.requires_grad_() for value in arguments(length=CHUNK + 3)]
    plain = torch.autograd.grad(selective_scan(*values).sum(), values)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = torch.autograd.grad(selective_scan(*values).sum(), values)
    for one, other in zip(plain, mixed, strict=True):
        assert torch.equal(one, other)


def interface_of_mamba_ssm(u, delta, A, B, C):
    """`selective_scan_fn` of mamba-ssm as its documentation defines it: channels in groups that share B and C."""
    assert u.dtype == delta.dtype == B.dtype == C.dtype and A.dtype == torch.float32
    assert all(values.is_contiguous() for values in (u, delta, A, B, C))
    batch, channels, length = u.shape
    per_group = channels // B.shape[1]
    outputs = torch.empty_like(u)
    for channel in range(channels):
        state = u.new_zeros(batch, A.shape[1])
        group = channel // per_group
        for t in range(length):
            step = delta[:, channel, t, None]
            state = (step * A[channel]).exp() * state + step * B[:, group, :, t] * u[:, channel, t, None]
            outputs[:, channel, t] = (state * C[:, group, :, t]).sum(-1)
    return outputs


def test_arguments_are_handed_to_the_kernel_in_its_order():
    values = arguments(directions=2, batch=3, length=5, channels=4, states=2)
    found = _scan_by_kernel(interface_of_mamba_ssm, *values)
    torch.testing.assert_close(found, selective_scan(*values))


@pytest.mark.skipif(not torch.cuda.is_available() or cuda_kernel() is None, reason="needs a GPU and mamba-ssm")
def test_the_kernel_of_mamba_ssm_is_taken_and_gives_the_same(monkeypatch):
    values = [value.cuda() for value in arguments(directions=2, batch=3, length=300, channels=76, states=8)]
    by_kernel = selective_scan(*values)
    monkeypatch.setattr("wavefoundry.networks.wimamba.selective_scan.cuda_kernel", lambda: None)
    torch.testing.assert_close(by_kernel, selective_scan(*values), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_the_same():
    values = arguments(directions=2, batch=3, length=300, channels=76, states=8)
    on_gpu = [value.detach().cuda().requires_grad_() for value in values]
    values = [value.requires_grad_() for value in values]
    outputs = selective_scan(*on_gpu)
    torch.testing.assert_close(outputs.cpu(), selective_scan(*values), rtol=1e-4, atol=1e-4)
    found = torch.autograd.grad(outputs.square().sum(), on_gpu)
    expected = torch.autograd.grad(selective_scan(*values).square().sum(), values)
    for ours, theirs in zip(found, expected, strict=True):
        assert relative_error(ours.cpu(), theirs.double()) < 1e-4
