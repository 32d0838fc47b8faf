"""Run a command that does not outlive who asked for it: `python leash.py COMMAND ARGUMENT...`.

Started as the leader of a process group, with a pipe as standard input that its starter keeps open. When the starter
is gone, however it ended, the pipe ends, and the whole group is killed. Ends with the command's exit code (128 + the
number of the signal that killed it).
"""

import os
import signal
import subprocess
import sys
import threading


def _follow() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    # A polite end is for the command, which this process waits for; a handler, unlike SIG_IGN, is not inherited.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_follow, daemon=True).start()
    code = process.wait()
    # Not sys.exit: the other thread holds standard input.
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
