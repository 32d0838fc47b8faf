"""A stage leaves complete outputs and a record, or a clear message and nothing."""

import json
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pydantic import BaseModel

from stages import stage as module
from stages.stage import clear_errors, flatten, stage
from storage.digests import digest
from storage.errors import StorageError
from storage.replacement import replacing
from wavefoundry.errors import InputError


class FakeRun:
    """Stands in for MLflow, which takes seconds."""

    def __init__(self, name, parameters, tags):
        self.name, self.parameters, self.tags, self.status = name, parameters, tags, None
        FakeRun.last = self

    def set_tags(self, tags):
        self.tags |= tags

    def log_inputs(self, datasets, models):
        self.inputs = datasets, models

    def log_outputs(self, models):
        self.outputs = models

    def end(self, status):
        self.status = status


class Training(BaseModel):
    epochs: int
    rates: list[float]


class Teach(BaseModel):
    training: Training
    mcakd: dict | None


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Run", FakeRun)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("input.txt").write_text("input")
    FakeRun.last = None
    return tmp_path


def run(body, dependencies=("input.txt",), outputs=("out.zarr", "picture.png")):
    with stage(
        "csi@munich", section=None, dependencies=list(map(Path, dependencies)), outputs=list(map(Path, outputs))
    ):
        body()


def write_outputs():
    Path("out.zarr").mkdir()
    Path("out.zarr/zarr.json").write_text("{}")
    Path("picture.png").write_bytes(b"png")


def test_success_is_recorded_with_digests():
    run(write_outputs)
    assert FakeRun.last.status == "FINISHED"
    assert FakeRun.last.tags == {
        "dvc.stage": "csi@munich",
        "git.commit": "unknown",
        "dependency input.txt": digest(Path("input.txt")),
        "output out.zarr": digest(Path("out.zarr")),
        "output picture.png": digest(Path("picture.png")),
    }


def test_stores_and_models_are_recorded_as_what_they_are(folder):
    for seed in (0, 1):
        (folder / f"models/wifo/seed_{seed}").mkdir(parents=True)
        (folder / f"models/wifo/seed_{seed}/model.safetensors").write_text(str(seed))
    write_outputs()

    def body():
        Path("models/tiny/seed_0").mkdir(parents=True)
        Path("models/tiny/seed_0/model.safetensors").write_text("student")

    run(body, dependencies=("out.zarr", "models/wifo/seed_0", "input.txt"), outputs=("models/tiny",))
    assert FakeRun.last.inputs == (
        {"out.zarr": digest(Path("out.zarr"))}, {"models/wifo/seed_0": digest(Path("models/wifo/seed_0"))}
    )  # fmt: skip
    assert FakeRun.last.outputs == {"models/tiny/seed_0": digest(Path("models/tiny/seed_0"))}


def test_a_run_carries_the_name_of_its_experiment(monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "wider-lion")
    run(write_outputs)
    assert FakeRun.last.name == "csi@munich (wider-lion)"
    assert (FakeRun.last.tags["dvc.experiment"], FakeRun.last.tags["dvc.stage"]) == ("wider-lion", "csi@munich")


def test_sections_are_flattened():
    section = Teach(training=Training(epochs=3, rates=[0.5]), mcakd=None)
    assert flatten(section) == {"training.epochs": 3, "training.rates": [0.5], "mcakd": None}
    assert flatten({"teach": section, "seed": 0})["teach.training.epochs"] == 3
    assert flatten(None) == {}


def test_missing_dependency_names_it_and_opens_no_run(capsys):
    with pytest.raises(SystemExit) as exit_:
        run(write_outputs, dependencies=["data/scenario/munich/paths.zarr"])
    assert str(exit_.value) == (
        "csi@munich: dependency data/scenario/munich/paths.zarr does not exist; run the stages before it (dvc repro)"
    )
    assert FakeRun.last is None


@pytest.mark.parametrize("error", [InputError("bad patch"), StorageError("bad store")])
def test_users_fault_is_one_line_and_no_output(error):
    def body():
        write_outputs()
        Path(".out.zarr.partial").mkdir()
        raise error

    with pytest.raises(SystemExit) as exit_:
        run(body)
    assert exit_.value.code == str(error)
    assert FakeRun.last.status == "FAILED"
    assert [path.name for path in Path().iterdir()] == ["input.txt"]


@pytest.mark.parametrize(("error", "status"), [(ZeroDivisionError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_other_errors_pass_through_and_leave_no_output(error, status):
    def body():
        write_outputs()
        raise error

    with pytest.raises(error):
        run(body)
    assert FakeRun.last.status == status
    assert [path.name for path in Path().iterdir()] == ["input.txt"]


def by_torch():
    import torch

    torch.save(torch.zeros(5000), "picture.png")


def by_safetensors():
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(5000)}, "picture.png")


def by_a_library_in_a_model_folder():
    with replacing(Path("out.zarr")) as partial:
        (partial / "weights").write_bytes(bytes(5000))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: Path("picture.png").write_bytes(bytes(5000)), "csi@munich: it cannot write (File too large)"),
        (lambda: Path("picture.png/x").write_text(""), None),
        (by_torch, "csi@munich: it cannot write (is there room left on the disk?"),
        (by_safetensors, "csi@munich: it cannot write (File too large)"),
        (by_a_library_in_a_model_folder, "out.zarr: cannot be written (File too large)"),
    ],
)
def test_a_disk_without_room_is_one_line_and_no_output(write, said):
    """As the limit on the size of files is, for whichever library writes; what is no fault of a disk passes through."""

    def body():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        try:
            Path("picture.png").touch()
            write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.raises(SystemExit if said else NotADirectoryError) as exit_:
        run(body)
    if said:
        assert exit_.value.code.startswith(said)
        assert "\n" not in exit_.value.code
    assert FakeRun.last.status == "FAILED"
    assert [path.name for path in Path().iterdir()] == ["input.txt"]


def test_output_that_was_not_written_fails_the_stage():
    with pytest.raises(SystemExit, match=r"output picture\.png does not exist"):
        run(lambda: Path("out.zarr").mkdir())
    assert not Path("out.zarr").exists()


def test_clear_errors_covers_what_lies_before_the_stage():
    @clear_errors()
    def main():
        raise InputError("params.yaml: no such file")

    with pytest.raises(SystemExit, match=r"params\.yaml: no such file"):
        main()


def test_cheap_stage_imports_nothing_heavy(tmp_path, monkeypatch):
    """The frame itself loads no torch, no xarray and no part of the pipeline's tools but MLflow."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    top = Path(module.__file__).parents[1]
    code = f"""
        import sys, json
        sys.path.insert(0, {str(top)!r})
        from pathlib import Path
        from stages.stage import stage
        with stage("a", section=None, dependencies=[], outputs=[]):
            pass
        print(json.dumps([name for name in ("torch", "xarray", "dvc", "prefect", "matplotlib", "transformers")
                          if name in sys.modules]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout.splitlines()[-1]) == []


def test_a_folder_that_cannot_hold_the_record_is_one_line_before_anything_is_done(folder, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    inside = folder / "a?b"
    inside.mkdir()
    monkeypatch.chdir(inside)
    with pytest.raises(SystemExit) as ended:
        run(write_outputs, dependencies=())
    assert (
        str(ended.value)
        == f"{inside}: the databases of MLflow and Prefect cannot lie in a folder with a ? in its path; rename it"
    )
    assert FakeRun.last is None and not list(inside.iterdir())
