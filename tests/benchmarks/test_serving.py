"""The parts of the benchmark of serving: it counts what it should, and stops what it has started."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from benchmarks import serving
from benchmarks.serving import noise
from storage.errors import StorageError
from tests.stages.registration import register
from wavefoundry.deployment import method_export
from wavefoundry.errors import InputError
from wavefoundry.evaluation.methods import methods


def test_each_client_asks_as_often_as_told_and_all_ask_at_once():
    barrier = threading.Barrier(4, timeout=20)
    made = []

    def open_client():
        asked = []
        made.append(asked)

        def call():
            asked.append(threading.get_ident())
            if len(asked) > serving.WARM_UP:
                barrier.wait()  # passes only if four clients wait here together

        return call

    times = serving.latencies(open_client, 4, 3)
    assert len(times) == 12 and [len(asked) for asked in made] == [serving.WARM_UP + 3] * 4


def test_percentiles_are_of_milliseconds():
    times = [0.001 * number for number in range(101)]
    assert serving.percentiles_ms(times) == pytest.approx({"p50": 50.0, "p99": 99.0})


def test_throughput_counts_the_samples_of_a_batch(monkeypatch):
    monkeypatch.setattr(serving, "REQUESTS", 2)
    monkeypatch.setattr(serving, "BATCHES", 3)
    monkeypatch.setattr(serving, "WARM_UP", 0)
    found = serving.figures(lambda csi: lambda: time.sleep(0.002 * len(csi)), (1, 2, 3))
    assert 100 < found["samples_per_second"] <= 500
    assert set(found["latency_ms"]) == {"1", "8"} and found["latency_ms"]["1"]["p50"] >= 2


def test_noise_has_the_layout_of_a_request():
    channels = serving.noise(3, (2, 4, 5))
    assert channels.shape == (3, 2, 4, 5, 2) and channels.dtype == np.float32


def test_what_is_started_is_stopped_with_its_children_also_after_a_fault(tmp_path):
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(RuntimeError), serving.running([sys.executable, "-c", code], tmp_path / "log") as process:
        end = time.monotonic() + 20
        while not (tmp_path / "log").read_text().strip() and time.monotonic() < end:
            time.sleep(0.05)
        number = int((tmp_path / "log").read_text())
        raise RuntimeError
    assert process.poll() is not None
    end = time.monotonic() + 10
    while alive(number) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(number)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # What has ended and was not waited for is still there by its number.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_a_server_that_ends_is_told_by_its_last_line(tmp_path):
    log = tmp_path / "log"
    with serving.running([sys.executable, "-c", "print('no such model')"], log) as process:
        process.wait(20)
        with pytest.raises(InputError, match="the server does not answer: no such model"):
            serving.wait_until_up(serving.free_port(), process, log)


def test_a_model_without_a_plain_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no artifacts/served/predictor\.onnx"):
        serving.plain_file(tmp_path)


def test_a_version_is_that_of_the_registry_of_the_project_and_one_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    served = tmp_path / "hold" / "served"
    method_export.export("sample_and_hold", methods()["sample_and_hold"](), served)
    version = register("hold", {"served": served}, noise(2, (4, 2, 6)))
    assert serving.plain_file(serving.downloaded(version.uri, str(tmp_path))).exists()
    with pytest.raises(StorageError, match="nobody"):
        serving.downloaded("models:/nobody@champion", str(tmp_path))
