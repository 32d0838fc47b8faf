"""Studies of seconds in folders of their own: the project's files, tiny parameters, DVC without git."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.yaml_files import read_dag
from tests.parameters import PROJECT, tiny_parameters
from tests.prefect_server import shared_server

COPIED = ("stages", "storage", "wavefoundry", "flows", "dvc.yaml", ".dvcignore")


def write_measurement(path: Path, seed: int) -> None:
    """Twelve samples of CSI: a path that turns, and noise."""
    generator = np.random.default_rng(seed)
    turns = generator.uniform(-0.05, 0.05, (12, 1, 1, 1)) * np.arange(16)[:, None, None]
    noise = generator.normal(size=(2, 12, 16, 16, 32))
    np.savez(path, csi=(np.exp(2j * np.pi * turns) + 0.05 * (noise[0] + 1j * noise[1])).astype(np.complex64))


class Study:
    """A folder with the project's DAG in it."""

    def __init__(self, folder: Path, parameters: dict):
        self.folder = folder
        self.parameters = parameters
        # Address of a Prefect server; None: each flow starts its own.
        self.server: str | None = None
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*.partial")
                shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
            else:
                shutil.copy(source, folder / name)
        # What the stages measure is no matter here, so they need no machine of their own.
        dag = folder / "dvc.yaml"
        dag.write_text(dag.read_text().replace("      meta: {alone: true}\n", ""))
        self.write_inputs()
        self.dvc("init", "--no-scm", "-q")
        self.dvc("config", "core.analytics", "false")

    def clone(self, folder: Path) -> "Study":
        """What a version control system would hand to somebody else."""
        folder.mkdir()
        other = Study(folder, self.parameters)
        shutil.copy(self.folder / "dvc.lock", folder / "dvc.lock")
        return other

    def remote(self, folder: Path) -> str:
        """Name of a DVC remote that lies in the folder."""
        self.dvc("remote", "add", "-f", "shelf", str(folder))
        return "shelf"

    def write_inputs(self) -> None:
        """Parameters and measurement as they are when a test begins."""
        self.write_parameters(self.parameters)
        write_measurement(self.folder / "measured.npz", seed=0)

    def write_parameters(self, content: dict) -> None:
        # Through JSON, which shares nothing: the same section in two places would be written as an anchor and an alias.
        text = yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False)
        (self.folder / "params.yaml").write_text(text)

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        own = {"PATH": path, "OMP_WAIT_POLICY": "PASSIVE", "PREFECT_HOME": str(self.folder / ".prefect")}
        return os.environ | own | ({"PREFECT_API_URL": self.server} if self.server else {})

    def start(self, *command: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip

    def run(self, *command: str) -> subprocess.CompletedProcess:
        with self.start(*command) as process:
            output = process.communicate()[0]
        return subprocess.CompletedProcess(command, process.returncode, output)

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("-m", "dvc", *arguments)

    def repro(self, *targets: str) -> list[str]:
        """Reproduce; the names of the stages that ran."""
        result = self.dvc("repro", *targets)
        assert result.returncode == 0, result.stdout[-4000:]
        return [line.split("'")[1] for line in result.stdout.splitlines() if line.startswith("Running stage '")]

    def flow(self, *targets: str) -> list[str]:
        """Reproduce by the flow, which runs two stages at a time; the names of the stages that ran."""
        result = self.run("-m", "flows.pipeline", *targets)
        assert result.returncode == 0, result.stdout[-4000:]
        assert "Error logging to API" not in result.stdout
        return re.findall(r"Completed\('(\S+) has run'\)", result.stdout)

    def digests(self) -> dict[str, str]:
        """md5 of every output in dvc.lock."""
        lock = read_dag(self.folder / "dvc.lock")
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", ())}

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Whatever changes within, the study is as it was afterwards: files that are new are gone, others restored."""
        lock = (self.folder / "dvc.lock").read_text()
        before = self._files()
        records, aside = self.folder / ".mlflow", self.folder / "aside"
        shutil.copytree(records, aside)
        try:
            yield
        finally:
            shutil.rmtree(records)
            aside.rename(records)
            self.write_inputs()
            (self.folder / "dvc.lock").write_text(lock)
            for path in self._files() - before:
                path.unlink()
            result = self.dvc("checkout", "-q", "--force")
            assert result.returncode == 0, result.stdout

    def _files(self) -> set[Path]:
        return {
            path
            for name in (*COPIED, "data", "models", "history", "metrics", "measurements", "figures", "report")
            for path in (self.folder / name).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }


def study_parameters() -> dict:
    """A study with one entry of every kind: every stage of it is a process that takes seconds to begin."""
    content = tiny_parameters()
    content["scenarios"] = {name: content["scenarios"][name] for name in ("street_canyon", "canyon")}
    content["pretrain"] = {"lwm_temporal": content["pretrain"]["lwm_temporal"]}
    content["predictors"] = {"sample_and_hold": {}}
    content["evaluate"]["prediction"]["suites"]["generalisation"]["datasets"] = ["street_canyon"]
    downstream = content["evaluate"]["downstream"]
    downstream |= {"channels": "canyon", "beams": "canyon", "tuning": None}
    downstream["tasks"] = {name: downstream["tasks"][name] for name in ("los", "interpolation")}
    content["register"]["int8"] = None  # tests/stages/test_registered_model.py has that form
    return content


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a Prefect server."""
    with shared_server() as address:
        yield address


@pytest.fixture(scope="session")
def study(tmp_path_factory, server) -> Study:
    """The study, reproduced once for all tests, which leave it as it is; by a flow that starts its own server."""
    study = Study(tmp_path_factory.mktemp("study"), study_parameters())
    study.first_run = study.flow()
    study.server = server
    return study


@pytest.fixture
def changing(study) -> Iterator[Study]:
    """The study for a test that changes it; afterwards it is as it was."""
    with study.put_back():
        yield study
