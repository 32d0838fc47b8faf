"""A process that has the large libraries in memory, and splits stages off: `python -P flows/fork_server.py DESCRIPTOR`.

Importing PyTorch and Transformers takes four seconds of processor time, as much as many stages take themselves. Here
they are imported once, and nothing of the project: what is split off runs one of its modules as `python -m MODULE
ARGUMENT...` does, as the head of a process group. `flows/forks.py` speaks with this process over the Unix socket
DESCRIPTOR.
"""

import argparse
import gc
import json
import os
import random
import runpy
import selectors
import shlex
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from setproctitle import setproctitle

# Imported before anything is split off. The only threads that they start are those of OpenBLAS and jemalloc, which both
# prepare for a fork.
LIBRARIES = ("pydantic", "pandas", "xarray", "zarr", "scipy.signal", "torch", "transformers.modeling_utils",
    "transformers.trainer")  # fmt: skip
# Before each request: how many bytes of JSON follow. A request comes with the descriptor of its output.
HEADER = struct.Struct("!I")


class Request(NamedTuple):
    """What to run.

    Attributes:
        module: as `python -m` takes it.
        arguments: for the module.
        folder: its working directory, where its imports are looked for.
        environment: all its environment variables.
    """

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


def serve(starter: socket.socket) -> Request:
    """Split off a process for every request, and tell the starter its number, and later its exit code.

    Returns in the processes split off. When the starter is gone, however it ended, all of them are killed, with what
    they have started, and this process ends.
    """
    running: set[int] = set()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the starter says when it is over
    with selectors.DefaultSelector() as selector:
        selector.register(starter, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                for pid in list(running):
                    if (code := _exit_code(pid)) is not None:
                        running.remove(pid)
                        _tell(starter, {"ended": pid, "code": code})
            if starter in ready:
                message, output = _receive(starter)
                if message is None:
                    for pid in running:
                        _signal(pid, signal.SIGKILL)
                    os._exit(0)
                if "signal" in message:
                    if message["pid"] in running:
                        _signal(message["pid"], message["signal"])
                    continue
                assert output is not None  # comes with every request
                if not (pid := os.fork()):
                    selector.close()
                    starter.close()
                    for descriptor in (woken, wake):
                        os.close(descriptor)
                    _become_its_own(output)
                    return Request(**message)
                os.close(output)
                running.add(pid)
                _tell(starter, {"begun": pid})


def _receive(starter: socket.socket) -> tuple[dict | None, int | None]:
    """The next message and the descriptor that came with it; None when the starter is gone."""
    try:
        header, descriptors, _, _ = socket.recv_fds(starter, HEADER.size, 1)
        if not header:
            return None, None
        header += _exactly(starter, HEADER.size - len(header))
        body = _exactly(starter, HEADER.unpack(header)[0])
    except OSError:
        return None, None
    return json.loads(body), descriptors[0] if descriptors else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(size)
        if not part:
            raise ConnectionError("the other end is gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _tell(starter: socket.socket, message: dict) -> None:
    with suppress(OSError):  # a starter that is gone is met when it is read from
        starter.sendall(json.dumps(message).encode() + b"\n")


def _exit_code(pid: int) -> int | None:
    """The exit code of a child that has ended, 128 + the number of the signal that killed it; its group is killed."""
    # Not yet reaped: its number still names this group and no other one.
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        return None
    _signal(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # before the child has become the head of its group
        os.killpg(pid, number)
        return
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _become_its_own(output: int) -> None:
    """In a process split off: a session, outputs, signals and random numbers as a new interpreter has them."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    for descriptor in (nothing, output):
        os.close(descriptor)
    random.seed()


def _run(request: Request) -> None:
    """As `python -m` does; how the module ends is how this process ends."""
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.path.insert(0, request.folder)
    sys.argv = [request.module, *request.arguments]
    setproctitle(shlex.join(["python", "-m", *sys.argv]))
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="flows/fork_server.py", description=__doc__.splitlines()[0])
    parser.add_argument("descriptor", type=int, help="of the socket that requests come from")
    starter = socket.socket(fileno=parser.parse_args().descriptor)
    setproctitle("python flows/fork_server.py")  # now, for it finds its place by an environment that nobody has changed
    for name in LIBRARIES:
        with suppress(ImportError):  # the stage that needs it says so
            import_module(name)
    gc.collect()
    gc.freeze()
    _tell(starter, {"ready": True})
    _run(serve(starter))


if __name__ == "__main__":
    main()
