"""What a model costs: parameters, floating-point operations, latency, peak memory."""

import ctypes
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from wavefoundry.networks.capabilities import Embedder, OwnOperations, Predictor, SequenceEmbedder
from wavefoundry.networks.representations import Representations

WARM_UP = 2  # calls that are not timed


def parameter_count(predictor: object) -> int:
    """Number of trained values; 0 for a classical method."""
    if not isinstance(predictor, nn.Module):
        return 0
    return sum(parameter.numel() for parameter in predictor.parameters())


def latency_ms(predictor: Predictor, known: torch.Tensor, wanted: tuple[int, int], repetitions: int) -> float:
    """Median wall time of one prediction of (slots, subcarriers) on one thread [ms], after two calls of warm-up."""
    return median_ms(lambda: predictor.predict(known, *wanted), repetitions)


def median_ms(call: Callable[[], object], repetitions: int) -> float:
    """Median wall time of a call on one thread [ms], after two calls of warm-up; a GPU is waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(WARM_UP + repetitions):
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 1e3 * statistics.median(times[WARM_UP:])


def embed(model: Embedder, csi: torch.Tensor, patch_size: int | None) -> Representations:
    """A forward pass of a backbone, nothing hidden.

    Args:
        model: one that reads sequences reads all slots, another one the first slot.
        csi: complex (batch, time, antenna, subcarrier).
        patch_size: granularity of a network that has the choice, None of others.

    Raises:
        InputError: sizes that the model cannot read.
    """
    with torch.inference_mode():
        if isinstance(model, SequenceEmbedder):
            return model.embed_sequence(csi)
        return model.embed(csi[:, 0], patch_size)


def embedding_flops(model: Embedder, csi: torch.Tensor, patch_size: int | None) -> tuple[int, int]:
    """Tokens of a sample, class token included, and floating-point operations of `embed` on the CPU.

    A multiplication and an addition are two.

    Products of matrices, convolutions and attention are counted as torch runs them, masked keys of a tile of sparse
    attention included, and what a network says of its own operations (`OwnOperations`), such as scans or the loops of
    sparse attention with routing. Left out: transforms of the input, normalisations, activations, softmax, sums of two
    tensors, and the choice of keys.
    """

    def fused_attention(query, key, value, *_, **__):
        return sdpa_flop_count(query, key, value)

    # The fused attention of CPUs is the one that torch's table lacks.
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: fused_attention}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        seen = embed(model, csi, patch_size)
    tokens = seen.patches.shape[1] + (seen.class_token is not None)
    size = (csi.shape[1], csi.shape[2], csi.shape[3])
    own = model.uncounted_flops(tokens, size) if isinstance(model, OwnOperations) else 0
    return tokens, counter.get_total_flops() + len(csi) * own


def peak_memory(call: Callable[[], object], warm_up: Callable[[], object]) -> int:
    """Bytes that a call needs at its peak beyond what was there before it, on the CPU.

    The rise of the peak resident size (VmHWM) of a forked process, on one thread; Linux only.

    Args:
        call: what is measured.
        warm_up: called before in the same process, so that code is loaded; `call` itself, or something smaller if
            what `call` keeps from its first time (tables) is to count.

    Raises:
        RuntimeError: the call failed.
        MemoryError: its process was ended from outside, as it is where memory runs out.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_send_rise, args=(call, warm_up, sender))
    child.start()
    # A child that dies ends the pipe, for no one else holds its end.
    sender.close()
    try:
        rise = receiver.recv()
    except EOFError:
        raise MemoryError("the process that measured a call was ended before it had finished") from None
    finally:
        child.join()
    if isinstance(rise, str):
        raise RuntimeError(f"a call failed while its memory was measured: {rise}")
    return rise


def _send_rise(call, warm_up, sender) -> None:
    try:
        # Threads of the parent are not here any more: waiting for them would never end.
        torch.set_num_threads(1)
        warm_up()
        # Memory that was freed but kept would hide what the call needs.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        call()
        sender.send(_status("VmHWM") - before)
    except Exception as error:
        sender.send(repr(error))
    finally:
        # Nothing of the parent's is closed or flushed twice.
        os._exit(0)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def peak_memory_of_gpu(call: Callable[[], object]) -> int:
    """Bytes of tensors that one call has at its peak beyond what was there before it, on the current CUDA device."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
