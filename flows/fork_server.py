"""A process that has the large libraries in memory, and splits stages off: `python flows/fork_server.py REQUESTS`.

Importing PyTorch and Transformers takes four seconds of processor time, as much as many stages take themselves. Here
they are imported once, and nothing of the project. REQUESTS is the descriptor of a Unix socket; a request is a byte
that comes with three descriptors: the output of what is to run, and the control and status of its leash (leash.py). The
first line of the control is a `forks.Request` as JSON, a list.
"""

import gc
import json
import os
import runpy
import shlex
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from setproctitle import setproctitle

if TYPE_CHECKING:
    from flows.leash import hold, stand_apart
else:
    # The name of the file beside this one: importing the package of both would import Prefect's settings.
    from leash import hold, stand_apart

# Imported before anything is split off. The only threads that they start are those of OpenBLAS and jemalloc, which both
# prepare for a fork.
LIBRARIES = ("pydantic", "pandas", "xarray", "zarr", "scipy.signal", "torch", "transformers.modeling_utils",
    "transformers.trainer")  # fmt: skip


def serve(requests: socket.socket) -> bytes | None:
    """Split off a leash and what it holds for every request.

    Returns:
        The request as it came, in a process that is to run it; None when nobody asks any more.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what was split off is not waited for
    while True:
        _, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
        if not descriptors:
            return None
        if not os.fork():
            requests.close()
            return _begin(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _begin(output: int, control_descriptor: int, status: int) -> bytes:
    """Become a leash, and split off what it holds; returns the request there."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stand_apart()
    control = os.fdopen(control_descriptor, "rb")
    line = control.readline()
    if not line:
        os._exit(1)  # who asked is gone
    if pid := os.fork():
        os.close(output)
        hold(pid, control, status)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    control.close()
    os.close(status)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, standard)
    os.close(nothing)
    os.close(output)
    return line


def _run(module: str, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """As `python -m` does; how the module ends is how this process ends."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    sys.argv = [module, *arguments]
    setproctitle(shlex.join(["python", "-m", *sys.argv]))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    sys.path.pop(0)  # the folder of this file
    setproctitle("python flows/fork_server.py")  # before the environment changes, beside which the title is kept
    for name in LIBRARIES:
        with suppress(ImportError):  # the stage that needs it says so
            import_module(name)
    gc.collect()
    gc.freeze()
    if request := serve(requests):
        _run(*json.loads(request))


if __name__ == "__main__":
    main()
