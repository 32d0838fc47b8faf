"""The parallel flow against serial `dvc repro`: python -m benchmarks.flow [--whole] (an idle machine).

From scratch, in temporary copies of the project: the data part of the study (or all of it), by each in turn, and then
the flow once more with everything up to date. Prefect's start-up is measured by a flow that does nothing, and is part
of the flow's seconds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from stages.yaml_files import read, read_dag
from wavefoundry.report.tables import markdown_table

PROJECT = Path(__file__).parents[1]
PARALLEL = 2
DATA = ("scenario", "csi", "import", "angle_delay", "imported_angle_delay")
# What the stages need; outputs, dvc.lock and DVC's cache stay behind.
COPIED = ("stages", "storage", "studies", "wavefoundry", "flows", "params.yaml", "dvc.yaml", ".dvcignore")
# A flow that does nothing, started and run as `python -m flows.pipeline` is.
NOTHING = "import flows.pipeline; from prefect import flow; flow(lambda: None, name='nothing')()"


def copy_of_project(folder: Path) -> Path:
    """A DVC project in a new folder that has never run."""
    folder.mkdir()
    for name in COPIED:
        source = PROJECT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    content = read(folder / "params.yaml")
    for item in content["imported"].values():
        source, target = PROJECT / item["files"], folder / item["files"]
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    run(folder, "-m", "dvc", "init", "--no-scm", "-q")
    run(folder, "-m", "dvc", "config", "core.analytics", "false")
    return folder


def run(folder: Path, *arguments: str) -> float:
    """Seconds of `python ARGUMENTS` in a folder, as `make run` has it; what it prints goes to standard error."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "OMP_WAIT_POLICY": "PASSIVE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, stdout=sys.stderr, check=True)
    return time.perf_counter() - start


def outputs(lock: bytes) -> set[tuple[str, str]]:
    """Path and md5 of every output in a dvc.lock."""
    return {(out["path"], out["md5"]) for entry in yaml.safe_load(lock)["stages"].values() for out in entry["outs"]}


def data_targets(folder: Path) -> list[str]:
    stages = read_dag(folder / "dvc.yaml")["stages"]
    content = read(folder / "params.yaml")
    return [name for name in DATA if content["imported"] or stages[name]["foreach"] != "${imported}"]


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    seconds = result["seconds"]
    header = ["stages", "`dvc repro` [s]", "flow [s]", "`dvc repro` / flow", "up to date [s]", "Prefect's start-up [s]"]
    taken = [f"{seconds[name]:.0f}" for name in ("dvc_repro", "flow")]
    small = [f"{seconds[name]:.1f}" for name in ("flow_cached", "prefect_start_up")]
    row = [str(result["stages"]), *taken, f"{result['flow_is_faster_by']:.2f}", *small]
    differing = ", ".join(result["other_outputs"]) or "their dependencies"
    same = "The two dvc.lock say the same." if result["same_dvc_lock"] else f"The two dvc.lock differ in {differing}."
    return f"{markdown_table(header, [row])}\n\n{same}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow")
    parser.add_argument("--whole", action="store_true", help="the whole study instead of its data part")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # One folder's name for both: each works where the other one did.
        folder, other = Path(name, "study"), Path(name, "serial")
        copy_of_project(folder)
        targets = [] if arguments.whole else data_targets(folder)
        # Start-up of Python and of the libraries is paid from the disk once, by nobody.
        run(folder, "-c", NOTHING)
        start_up = run(folder, "-c", NOTHING)
        serial = run(folder, "-m", "dvc", "repro", "-q", *targets)
        lock = (folder / "dvc.lock").read_bytes()
        folder.rename(other)
        copy_of_project(folder)
        flow = ["-m", "flows.pipeline", *targets, "--parallel", str(PARALLEL)]
        parallel = run(folder, *flow)
        flow_lock = (folder / "dvc.lock").read_bytes()
        cached = run(folder, *flow)
    print(json.dumps({
        "benchmark": "flow", "cores": os.cpu_count(), "parallel": PARALLEL, "targets": targets or "all",
        "stages": len(yaml.safe_load(lock)["stages"]),
        "seconds": {"dvc_repro": serial, "flow": parallel, "flow_cached": cached, "prefect_start_up": start_up},
        "flow_is_faster_by": serial / parallel, "cached_over_start_up": cached - start_up,
        # Their order is DVC's, which with several targets is another one in every process.
        "same_dvc_lock": yaml.safe_load(flow_lock) == yaml.safe_load(lock),
        # Of the whole study: measured latencies, and what quotes them.
        "other_outputs": sorted({path for path, _ in outputs(flow_lock) ^ outputs(lock)}),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
