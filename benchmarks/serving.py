"""What a prediction costs where it is served: the bare ONNX session, and `mlflow models serve` of the same model.

python -m benchmarks.serving [MODEL]: MODEL is a version of the registry (models:/tiny_wifo@champion unless given) or a
folder as `mlflow artifacts download` writes it. A request is one sample of noise of --known slots, antennas and
subcarriers, with --wanted slots and subcarriers asked for. Latencies are those of REQUESTS requests of each client, 1
and 8 of them at once; throughput is that of one client with batches of BATCH samples. Clients, session and server share
this machine's cores. The server answers JSON on 127.0.0.1, and is stopped whatever happens. The last line is a JSON
object of figures.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.timing import seconds
from stages.stage import clear_errors
from storage.tracking import connection
from storage.tracking.registry import clear_failures
from wavefoundry.deployment.served_folder import PLAIN
from wavefoundry.errors import InputError
from wavefoundry.report.tables import markdown_table

CLIENTS = (1, 8)
SHARES = ("p50", "p99")  # percentiles
REQUESTS = 100
WARM_UP = 5
BATCH, BATCHES = 32, 10
START_SECONDS = 120

Call = Callable[[], object]


def latencies(open_client: Callable[[], Call], clients: int, requests: int) -> list[float]:
    """Wall times [s] of all requests of some clients at once, after a warm-up of each."""

    def work(call: Call) -> list[float]:
        return [seconds(call) for _ in range(requests)]

    calls = [open_client() for _ in range(clients)]
    for call in calls:
        for _ in range(WARM_UP):
            call()
    with ThreadPoolExecutor(clients) as pool:
        return [taken for times in pool.map(work, calls) for taken in times]


def percentiles_ms(times: list[float]) -> dict[str, float]:
    """Of times [s]."""
    return {share: float(1e3 * np.percentile(times, float(share[1:]))) for share in SHARES}


def figures(open_client: Callable[[np.ndarray], Call], shape: tuple[int, ...]) -> dict:
    """Latencies and throughput of what answers requests.

    Args:
        open_client: from channels to a request with these, for one client.
        shape: (known slot, antenna, known subcarrier).
    """
    one, many = (noise(samples, shape) for samples in (1, BATCH))
    latency = {
        str(clients): percentiles_ms(latencies(lambda: open_client(one), clients, REQUESTS)) for clients in CLIENTS
    }
    of_batch = latencies(lambda: open_client(many), 1, BATCHES)
    return {"latency_ms": latency, "samples_per_second": BATCH * len(of_batch) / sum(of_batch)}


def noise(samples: int, shape: tuple[int, ...]) -> np.ndarray:
    """float32 (sample, slot, antenna, subcarrier, 2)."""
    return np.random.default_rng(0).normal(size=(samples, *shape, 2)).astype(np.float32)


def of_session(file: Path, wanted: tuple[int, int]) -> Callable[[np.ndarray], Call]:
    """Requests to one session, which its clients share."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    asked = {name: np.array(size, np.int64) for name, size in zip(("slots", "subcarriers"), wanted, strict=True)}
    return lambda csi: lambda: session.run(None, {"csi": csi} | asked)


def of_server(port: int, wanted: tuple[int, int]) -> Callable[[np.ndarray], Call]:
    """Requests to a server of MLflow; each client has a connection of its own."""
    import requests

    params = dict(zip(("slots", "subcarriers"), wanted, strict=True))

    def open_client(csi: np.ndarray) -> Call:
        client, channels = requests.Session(), csi.tolist()

        def call() -> None:
            answer = client.post(
                f"http://127.0.0.1:{port}/invocations", json={"inputs": channels, "params": params}, timeout=60
            )
            if answer.status_code != 200:
                raise InputError(f"the server refuses the request: {answer.text[:300]}")
            answer.json()

        return call

    return open_client


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen]:
    """A process that is stopped at the end with all that it has started."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            for how in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, how)
                    process.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def wait_until_up(port: int, process: subprocess.Popen, log: Path) -> None:
    """
    Raises:
        InputError: the process ends, or does not answer in START_SECONDS.
    """
    import requests

    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise InputError(f"the server does not answer: {(log.read_text().strip() or 'it says nothing').splitlines()[-1]}")


def plain_file(model: Path) -> Path:
    """
    Raises:
        InputError: the model is not served as one plain ONNX file.
    """
    file = model / "artifacts" / "served" / PLAIN
    if not file.exists():
        raise InputError(f"{model} has no artifacts/served/{PLAIN}: it is no registered model with a plain ONNX file")
    return file


def downloaded(version: str, folder: str) -> Path:
    """A version of the project's registry, models:/NAME@ALIAS or models:/NAME/NUMBER, as a folder in another one.

    Raises:
        StorageError: there is none of this name.
    """
    with clear_failures():
        import mlflow

        mlflow.set_tracking_uri(connection.tracking_uri())
        return Path(mlflow.artifacts.download_artifacts(version, dst_path=folder))


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["", *(f"{clients} client{'s' * (clients > 1)}, {share} [ms]" for clients in CLIENTS for share in SHARES)]
    rows = []
    for name, words in (("session", "ONNX session"), ("mlflow_models_serve", "`mlflow models serve`")):
        found = result[name]
        times = [f"{found['latency_ms'][str(clients)][share]:.1f}" for clients in CLIENTS for share in SHARES]
        rows.append([words, *times, f"{found['samples_per_second']:.0f}"])
    sizes = f"{result['model']}, known {result['known']}, wanted {result['wanted']} (slots, antennas, subcarriers)"
    return f"{sizes}.\n\n{markdown_table([*header, f'samples/s in batches of {BATCH}'], rows)}"


@clear_errors()
def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="models:/tiny_wifo@champion", help="of the registry, or a folder")
    parser.add_argument("--known", nargs=3, type=int, default=[8, 16, 32], metavar=("SLOTS", "ANTENNAS", "SUBCARRIERS"))
    parser.add_argument("--wanted", nargs=2, type=int, default=[8, 0], metavar=("SLOTS", "SUBCARRIERS"))
    arguments = parser.parse_args()
    shape, wanted = tuple(arguments.known), tuple(arguments.wanted)
    with tempfile.TemporaryDirectory() as work:
        model = Path(arguments.model)
        if not model.exists():
            model = downloaded(arguments.model, work)
        result = {"session": figures(of_session(plain_file(model), wanted), shape)}
        port, log = free_port(), Path(work, "server.log")
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
        with running([*command, "--host", "127.0.0.1", "--port", str(port)], log) as process:
            wait_until_up(port, process, log)
            result["mlflow_models_serve"] = figures(of_server(port, wanted), shape)
    print(json.dumps({"model": arguments.model, "known": shape, "wanted": wanted, "cores": os.cpu_count(), **result}))


if __name__ == "__main__":
    main()
