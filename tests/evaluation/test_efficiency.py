"""Costs: operations agree with those counted by hand, memory with what was allocated."""

import os
import signal

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.networks.lwm.example import lwm
from tests.networks.lwm_temporal.example import backbone
from tests.networks.wifo.example import wifo
from tests.networks.wimamba.example import wimamba
from wavefoundry.evaluation.efficiency import (
    embed,
    embedding_flops,
    latency_ms,
    median_ms,
    parameter_count,
    peak_memory,
)
from wavefoundry.evaluation.method_predictor import MethodPredictor
from wavefoundry.evaluation.methods import methods
from wavefoundry.networks.lwm_temporal.model import LWMTemporal
from wavefoundry.networks.wifo.model import WiFo
from wavefoundry.networks.wimamba.model import inner_size, step_rank

D, DEPTH = 32, 2


def channel(batch, *shape):
    return torch.randn(batch, *shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch", [1, 3])
def test_operations_of_a_transformer(batch):
    model = lwm(hidden_size=D, depth=DEPTH, heads=4, patch_sizes=[2]).eval()
    tokens, flops = embedding_flops(model, channel(batch, 1, 8, 12), 2)
    layer = 2 * tokens * 3 * D * D + 4 * tokens**2 * D + 2 * tokens * D * D + 2 * (2 * tokens * 4 * D * D)
    assert tokens == 25
    assert flops == batch * (2 * 24 * 8 * D + DEPTH * layer)


@pytest.mark.parametrize("batch", [1, 3])
def test_operations_of_wimamba(batch):
    model = wimamba(hidden_size=D, depth=DEPTH, patch_sizes=[2]).eval()
    shape = model.config.settings.architecture
    tokens, flops = embedding_flops(model, channel(batch, 1, 8, 12), 2)
    inner, states, rank = inner_size(shape), shape.state_size, step_rank(shape)
    products = 2 * (D // 2 * 2 * inner + inner * (rank + 2 * states) + rank * inner + inner * D // 2)
    # By the recurrence: exponent, power, entering value, multiply and add; what leaves is a sum over states.
    scan = inner * ((2 + 1 + 2 + 2) * states + 1 + 2)
    convolution = 2 * inner * shape.conv_kernel
    layer = 2 * (products + scan + convolution) + 2 * 2 * D * D + 2 * (2 * 4 * D * D)
    assert flops == batch * (2 * 24 * 8 * D + DEPTH * tokens * layer)


def test_fused_and_naive_attention_count_the_same():
    model = wifo(architecture={"hidden_size": D}).eval()
    fused = embedding_flops(model, channel(2, 4, 8, 8), None)
    with sdpa_kernel(SDPBackend.MATH):
        assert embedding_flops(model, channel(2, 4, 8, 8), None) == fused


def test_costs_of_sparse_attention_grow_linearly_and_of_full_attention_do_not():
    sparse = backbone(architecture={"temporal_offsets": [-1, 1]}).eval()
    full = wifo(architecture={"patch_size": [1, 2, 2], "hidden_size": 16, "heads": 2}).eval()
    growth = {}
    for model in (sparse, full):
        (few, less), (many, more) = (embedding_flops(model, channel(1, slots, 16, 32), None) for slots in (16, 32))
        assert many == 2 * few
        growth[type(model)] = more / less
    assert growth[LWMTemporal] < 2.1 and growth[WiFo] > 3


def test_operations_of_sparse_attention_with_routing_are_less_than_without_and_not_left_out():
    flops = {}
    for routed in (True, False):
        model = backbone(architecture={"routing_topk_enable": routed, "routing_topk_max": 8}).eval()
        flops[routed] = embedding_flops(model, channel(2, 8, 16, 32), None)[1]
    without_attention = backbone(architecture={"routing_topk_enable": True}).eval()
    without_attention.uncounted_flops = lambda tokens, size: 0
    assert embedding_flops(without_attention, channel(2, 8, 16, 32), None)[1] < flops[True] < flops[False]


def test_snapshot_models_read_the_first_slot():
    model = wimamba(hidden_size=D, depth=1, patch_sizes=[2]).eval()
    csi = channel(2, 3, 4, 4)
    assert torch.equal(embed(model, csi, 2).patches, embed(model, csi[:, :1], 2).patches)


def test_sequence_models_read_all_slots():
    for model in (wifo().eval(), backbone().eval()):
        csi = channel(2, 4, 8, 16)
        assert torch.equal(embed(model, csi, None).patches, model.embed_sequence(csi).patches)


def test_peak_memory_is_what_a_call_holds_at_once():
    size = 2**26  # bytes

    def one():
        return torch.ones(size // 4)

    for call, held in ((lambda: one().sum(), 1), (lambda: (one() + one()).sum(), 3), (lambda: [one(), one()], 2)):
        assert peak_memory(call, lambda: None) == pytest.approx(held * size, rel=0.1)
    # What was needed before does not count, and what is given back at once counts only once.
    assert peak_memory(lambda: None, one) < size / 10
    assert peak_memory(lambda: [one().sum() for _ in range(3)], one) == pytest.approx(size, rel=0.1)


def test_a_process_killed_while_it_is_measured_is_an_error():
    with pytest.raises(MemoryError, match="ended before it had finished"):
        peak_memory(lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: None)


def test_a_call_that_fails_while_it_is_measured_says_why():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        peak_memory(lambda: 1 / 0, lambda: None)


def test_timing_runs_on_one_thread_and_gives_the_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    try:
        median_ms(lambda: seen.append(torch.get_num_threads()), 3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 5


def test_latency_is_that_of_the_question_asked():
    asked = []

    class Recorder:
        def predict(self, known, slots, subcarriers):
            asked.append((known.shape, slots, subcarriers))

    assert latency_ms(Recorder(), channel(1, 4, 2, 8), (3, 2), 4) >= 0
    # Two of them to warm up.
    assert asked == [((1, 4, 2, 8), 3, 2)] * 6


def test_classical_methods_have_no_parameters():
    assert parameter_count(MethodPredictor("sample_and_hold", methods()["sample_and_hold"]())) == 0
    assert parameter_count(torch.nn.Linear(3, 2)) == 8
