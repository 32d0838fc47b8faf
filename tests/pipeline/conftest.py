"""A complete study of seconds in a folder of its own: the project's files, tiny parameters, DVC without git."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

PROJECT = Path(__file__).parents[2]
COPIED = ("stages", "storage", "wavefoundry", "flows", "dvc.yaml", ".dvcignore")

IMPORTED = {
    "kind": "npz",
    "files": "measured.npz",
    "blocks": {"any": [{"file": None, "variable": "csi", "slot": 0, "subcarrier": 0}]},
    "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
    "axes": ["sample", "time", "antenna", "subcarrier"],
    "trajectory": None,
    "speed": None,
    "unknown_is_zero": False,
    "carrier_frequency": 2.4e9,
    "slots": 16,
    "slot_duration": 5e-4,
    "subcarriers": 32,
    "subcarrier_spacing": 180e3,
    "samples_per_call": 5,
}


def tiny_parameters() -> dict:
    """The default study with few scenarios and a file of CSI, few users, small networks and short trainings."""
    content = yaml.safe_load((PROJECT / "params.yaml").read_text())
    scenarios = {name: content["scenarios"][name] for name in ("street_canyon", "uma_nlos")}
    traced, drawn = scenarios["street_canyon"]["twin"], scenarios["uma_nlos"]["twin"]
    traced["site"]["traffic"] |= {"vehicles": 4, "pedestrians": 2}
    traced["site"]["sampling"] |= {"windows": 2}
    traced["tracing"] |= {"samples_per_source": 10000, "max_depth": 2}
    drawn |= {"users": 10, "users_per_call": 5}
    scenarios |= _snapshots(scenarios["street_canyon"])
    training = {"epochs": 2, "batch_size": 4}
    lwm = content["pretrain"]["lwm_temporal"]
    lwm["architecture"] |= {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": [4, 4]}
    lwm["training"] |= training
    lwm["prediction"]["training"] |= training
    for name in ("wimamba", "lwm"):
        section = content["pretrain"][name]
        section["architecture"] |= {"hidden_size": 16, "depth": 1}
        section["training"] = section["training"] | training
        section["held_out"] = []
    teacher = content["teach"]["wifo"]
    teacher["held_out"] = []
    teacher["architecture"] |= {"hidden_size": 32, "encoder_depth": 1, "decoder_depth": 1, "heads": 2}
    teacher["training"] |= training
    for student in content["distill"].values():
        student["hidden_size"] = 16
        student["training"] = student["training"] | training
        student["seeds"] = [0]
    content["evaluate"]["prediction"]["latency_repetitions"] = 2
    downstream = content["evaluate"]["downstream"]
    downstream |= {"channels": "canyon", "beams": "canyon_28ghz", "label_fractions": [0.5, 1.0], "choice_fraction": 0.5}
    downstream |= {"seeds": [0], "patch_sizes": [4, 8]}
    downstream["heads"]["steps"] = 5
    downstream["tuning"]["fraction"] = 0.5
    downstream["tuning"]["training"] |= training
    content["evaluate"]["efficiency"] |= {"sizes": [[16, 16], [16, 32]], "repetitions": 1}
    imported = {"measured": IMPORTED | {"array": drawn["array"]}}
    return content | {"scenarios": scenarios, "imported": imported, "workers": {"processes": 1, "scheduler": None}}


def _snapshots(scenario: dict) -> dict:
    """The scenario's site in single slots, at its carrier and at 28 GHz."""
    near = copy.deepcopy(scenario)
    near["twin"]["site"]["sampling"] |= {"slots": 1, "windows": 6}
    near["twin"]["site"]["traffic"] |= {"vehicles": 8}
    far = copy.deepcopy(near)
    far["twin"] |= {"carrier_frequency": 28e9}
    far["ofdm"] |= {"subcarriers": 16}
    return {"canyon": near, "canyon_28ghz": far}


def write_measurement(path: Path, seed: int) -> None:
    """Twelve samples of CSI: a path that turns, and noise."""
    generator = np.random.default_rng(seed)
    turns = generator.uniform(-0.05, 0.05, (12, 1, 1, 1)) * np.arange(16)[:, None, None]
    noise = generator.normal(size=(2, 12, 16, 16, 32))
    np.savez(path, csi=(np.exp(2j * np.pi * turns) + 0.05 * (noise[0] + 1j * noise[1])).astype(np.complex64))


class Study:
    """A folder with the project's DAG in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*.partial"))
            else:
                shutil.copy(source, folder / name)
        self.write_parameters(tiny_parameters())
        write_measurement(folder / "measured.npz", seed=0)
        self.dvc("init", "--no-scm", "-q")
        self.dvc("config", "core.analytics", "false")

    def clone(self, folder: Path) -> "Study":
        """What a version control system would hand to somebody else."""
        folder.mkdir()
        other = Study(folder)
        for name in ("params.yaml", "dvc.lock", "measured.npz"):
            shutil.copy(self.folder / name, folder / name)
        return other

    def remote(self, folder: Path) -> str:
        """Name of a DVC remote that lies in the folder."""
        self.dvc("remote", "add", "-f", "shelf", str(folder))
        return "shelf"

    def write_parameters(self, content: dict) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(content))

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return os.environ | {"PATH": path, "OMP_WAIT_POLICY": "PASSIVE"}

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

    def digests(self) -> dict[str, str]:
        """md5 of every output in dvc.lock."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", ())}


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    """The tiny study, reproduced once for all tests; a test that changes it puts it back."""
    study = Study(tmp_path_factory.mktemp("study"))
    study.first_run = study.repro()
    return study
