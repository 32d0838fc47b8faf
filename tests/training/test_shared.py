"""Two processes that share a training, told of each other as torchrun does, with gloo, on this machine."""

import json
import os
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training import shared
from tests.training.toy import CONFIG
from wavefoundry.training.trainer import COMPLETE

SECONDS = 600  # on a machine that is busy with other things; both trainings together take a few


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes have left what they found."""
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [start(folder, number, port) for number in range(2)]
    try:
        deadline = time.monotonic() + SECONDS
        errors = [process.communicate(timeout=deadline - time.monotonic())[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return folder


def start(folder, number, port):
    """One process, told what torchrun tells those it starts; without a GPU, and on this machine alone."""
    told = {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.shared", str(folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ | told | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def found(folder):
    return [json.loads((folder / f"{process}.json").read_text()) for process in range(2)]


def weights(folder, training, process):
    return load_file(folder / f"{training}_{process}.safetensors")


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    for name in state:
        assert torch.equal(state[name], expected[name]), name


def test_two_processes_take_the_steps_of_one_with_the_same_batches(folder, found, tmp_path):
    alone = shared.plain(tmp_path, "alone")
    assert [row["epoch"] for row in alone["history"]] == [1, 2, 3]
    # Sums in another order: some units of the last place of single precision, over 18 steps.
    for row, other in zip(found[0]["plain"]["history"], alone["history"], strict=True):
        assert list(row) == list(other)
        assert row == pytest.approx(other, rel=1e-5)
    assert alone["history"][-1]["loss"] < 0.95 * alone["history"][0]["loss"]
    expected = weights(tmp_path, "plain", "alone")
    for name, value in weights(folder, "plain", 0).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


def test_both_processes_have_the_same_weights_and_history(folder, found):
    for training in ("plain", "first"):
        assert_same(weights(folder, training, 1), weights(folder, training, 0))
        assert found[0][training]["history"] == found[1][training]["history"]


def test_each_process_sees_its_half_of_a_batch(found):
    sizes = [one["plain"]["sizes"] for one in found]
    # Of a batch of a single sample one process learns; the other one goes along.
    assert all(sorted(one) == [1] * 3 + [2] * 15 for one in sizes)


def test_processes_draw_differently_and_two_trainings_alike_to_the_bit(folder, found):
    for kind in range(2):
        first, second = ([draw[kind] for draw in one["first"]["drawn"]] for one in found)
        assert len(first) == 30 and sum(a == b for a, b in zip(first, second, strict=True)) < 10
        assert sum(a == b for a, b in pairwise(first)) < 10
    assert found[0]["first"] == found[0]["second"]
    assert_same(weights(folder, "second", 0), weights(folder, "first", 0))


def test_a_shared_training_that_was_killed_leaves_no_trace(folder, found):
    assert found[0]["resumed"]["history"] == found[0]["first"]["history"]
    assert_same(weights(folder, "resumed", 0), weights(folder, "first", 0))


def test_one_process_reports_and_one_checkpoint_is_left(folder, found):
    assert [one["plain"]["reported"] for one in found] == [[[1, 6], [2, 12], [3, 18]], []]
    [checkpoint] = (folder / "plain").iterdir()
    assert checkpoint.name == "checkpoint-18" and (checkpoint / COMPLETE).exists()
    assert {file.name for file in checkpoint.glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}


def test_a_batch_that_two_processes_cannot_share_evenly_is_one_clear_error(folder, found):
    message = "training.batch_size is 5, which 2 processes cannot share evenly; allowed: multiples of 2"
    assert [one["odd"] for one in found] == [message] * 2
    assert CONFIG.batch_size % 2 == 0 and not (folder / "odd").exists()
