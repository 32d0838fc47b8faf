"""Parallel runs of a quick graph with `dvc status` looping beside them: python -m benchmarks.flow_stress.

Every run starts from nothing, stages take a random time, and dvc.lock must be, byte for byte, that of `dvc repro`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wavefoundry.report.tables import markdown_table

RUNS = 30
PARALLEL = 4

# 12 stages. A stage waits a fifth of a second or two before it writes, by its process number.
GRAPH = """
stages:
  make:
    foreach: ${entries}
    do:
      cmd: sleep 0.$(($$ % 5)) && cat source.txt > made/${key}.txt && echo ${item.name} >> made/${key}.txt
      deps: [source.txt]
      params: ["entries.${key}"]
      outs: ["made/${key}.txt"]
  pair:
    foreach: {ab: [a, b], cd: [c, d], ef: [e, f], fa: [f, a]}
    do:
      cmd: mkdir -p pairs/${key} && sleep 0.$(($$ % 3)) && cat made/${item[0]}.txt made/${item[1]}.txt > pairs/${key}/x
      meta: {one_at_a_time: pairs}
      deps: ["made/${item[0]}.txt", "made/${item[1]}.txt"]
      outs: ["pairs/${key}"]
  count:
    cmd: cat made/*.txt | wc -l > count.txt
    deps: [made]
    outs: [count.txt]
  all:
    cmd: cat pairs/*/x count.txt > all.txt
    deps: [pairs, count.txt]
    outs: [all.txt: {cache: false}]
"""
# Values whose form in dvc.lock could depend on how often the file is read and written again.
PARAMETERS = """
shared: &shared {rate: 1e-5, factor: 0.10, none: null, text: "yes", list: [1, 2.50, [a, "3"]], empty: {}}
entries:
  a: {name: one, first: *shared, second: *shared}
  b: {name: two, long: "a text that is much longer than a line of eighty characters and is folded: where, how and when"}
  c: {name: three, third: *shared}
  d: {name: four, lines: "first\\nsecond\\n"}
  e: {name: fünf, very_small: 1.0e-300, large: 123456789012345678901234567890}
  f: {name: six, first: *shared, again: {deep: *shared}}
"""


def make_project(folder: Path) -> None:
    """Write the graph of 12 stages into an empty folder, and make this a DVC project."""
    from dvc.repo import Repo

    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "params.yaml").write_text(PARAMETERS)
    (folder / "source.txt").write_text("0\n")
    (folder / "made").mkdir()
    Repo.init(str(folder), no_scm=True).close()


def forget(folder: Path) -> None:
    """Back to what was before the first run: no outputs, no dvc.lock, no cache; while no `dvc status` looks at them."""
    from dvc.lock import make_lock

    with make_lock(str(folder / ".dvc/tmp/lock"), wait=True):
        for name in ("made", "pairs", ".dvc/cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("dvc.lock", "count.txt", "all.txt"):
            (folder / name).unlink(missing_ok=True)
        (folder / "made").mkdir()


def serial_lock(folder: Path) -> bytes:
    """dvc.lock after `dvc repro` from nothing."""
    forget(folder)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, check=True)
    content = (folder / "dvc.lock").read_bytes()
    forget(folder)
    return content


@contextmanager
def status_loop(folder: Path) -> Iterator[list[str]]:
    """Run `dvc status` again and again in another process; the list grows by the output of each that failed, or "".

    One is always under way, also when the context is left.
    """
    results, stop = [], threading.Event()

    def loop() -> None:
        while not stop.is_set():
            done = subprocess.run(
                [sys.executable, "-m", "dvc", "status"], cwd=folder, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            results.append(done.stdout if done.returncode else "")

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield results
    finally:
        stop.set()
        thread.join()


def stress(folder: Path, runs: int, parallel: int) -> dict:
    """Make parallel runs from nothing in a folder made by `make_project`; needs a Prefect server or makes its own.

    Returns:
        Counts: `runs`, `incomplete` ones, `other_locks` (dvc.lock unlike the serial one), `statuses` taken beside them
        and `failed_statuses`; `messages` of what went wrong; `seconds` of each run.
    """
    from flows.pipeline import pipeline

    expected = serial_lock(folder)
    before = Path.cwd()
    os.chdir(folder)
    incomplete, other_locks, messages, seconds = 0, 0, [], []
    try:
        with status_loop(folder) as statuses:
            for _ in range(runs):
                start = time.perf_counter()
                state = pipeline((), parallel, return_state=True)
                seconds.append(time.perf_counter() - start)
                if not state.is_completed():
                    incomplete += 1
                    messages.append(state.message)
                other_locks += (folder / "dvc.lock").read_bytes() != expected
                forget(folder)
    finally:
        os.chdir(before)
    failed = [text for text in statuses if text]
    return {
        "runs": runs, "incomplete": incomplete, "other_locks": other_locks, "statuses": len(statuses),
        "failed_statuses": len(failed), "messages": messages + failed, "seconds": seconds,
    }  # fmt: skip


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["runs", "not complete", "another dvc.lock", "`dvc status` beside them", "of these failed", "all runs [s]"]
    counts = ("runs", "incomplete", "other_locks", "statuses", "failed_statuses")
    return markdown_table(header, [[*(result[name] for name in counts), f"{sum(result['seconds']):.0f}"]])


def main() -> None:
    from flows.server import lock_temporary_server

    lock_temporary_server()
    from prefect.testing.utilities import prefect_test_harness

    with tempfile.TemporaryDirectory() as folder, prefect_test_harness(server_startup_timeout=120):
        make_project(Path(folder))
        result = stress(Path(folder), RUNS, PARALLEL)
    print(json.dumps({"benchmark": "flow_stress", "stages": 12, "parallel": PARALLEL} | result))


if __name__ == "__main__":
    main()
