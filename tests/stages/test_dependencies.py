"""dvc.yaml names the code that its stages import: all of it, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages import dependencies
from stages.dependencies import PACKAGES, READERS_OF_CODE, WITHOUT_INFLUENCE, check, closure, complete, is_code
from stages.yaml_files import read_dag
from tests.parameters import PROJECT
from wavefoundry.errors import InputError

STAGES = read_dag(PROJECT / "dvc.yaml")["stages"]
ALL_FILES = sorted(
    file.relative_to(PROJECT)
    for package in PACKAGES
    for file in (PROJECT / package).rglob("*.py")
    if file.stat().st_size
)
# What Python itself has imported of the project's packages once a module is imported.
LOADED = """
import sys
from importlib import import_module
from pathlib import Path
import_module(sys.argv[1])
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
for file in sorted(filter(None, files)):
    inside = Path(file).relative_to(Path.cwd()) if Path(file).is_relative_to(Path.cwd()) else Path()
    if inside.parts and inside.parts[0] in sys.argv[2:] and Path(file).stat().st_size:
        print(inside)
"""


def code_of(stage):
    definition = STAGES[stage]
    return {path for path in definition.get("do", definition)["deps"] if is_code(path)}


def module_of(stage):
    definition = STAGES[stage]
    return definition.get("do", definition)["cmd"].split()[2]


@pytest.fixture(autouse=True)
def project(monkeypatch):
    monkeypatch.chdir(PROJECT)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the project's code that may be changed."""
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    dependencies._imports.cache_clear()
    yield tmp_path
    dependencies._imports.cache_clear()


def test_dvc_yaml_is_as_the_command_writes_it():
    text = Path("dvc.yaml").read_text()
    assert complete(text) == text
    check()


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in READERS_OF_CODE])
def test_a_stage_depends_on_what_it_imports_and_on_nothing_else(stage):
    """Every module of the project is either imported, directly or not, and a dependency, or neither of both."""
    imported = {file.as_posix() for file in closure([module_of(stage)])}
    named = code_of(stage)
    for file in ALL_FILES:
        assert (file.as_posix() in imported) == (file.as_posix() in named), file


def loaded(module):
    command = [sys.executable, "-c", LOADED, module, *PACKAGES]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout.split())


@pytest.mark.parametrize("module", ["stages.scenario", "stages.train", "stages.compare"])
def test_what_python_loads_is_in_the_closure(module):
    """An independent witness: at import Python loads nothing else, but for what reading parameters and records take."""
    closed = {file.as_posix() for file in closure([module])}
    others = loaded(module) - loaded("stages.params") - loaded("stages.stage")
    assert f"{module.replace('.', '/')}.py" in others <= closed


def test_stages_that_read_the_code_depend_on_all_of_it():
    for stage in READERS_OF_CODE:
        assert code_of(stage) == set(PACKAGES)


def test_modules_without_influence_exist_and_are_no_dependency():
    for name, reason in WITHOUT_INFLUENCE.items():
        assert dependencies.module_file(name), name
        assert reason
    everything = set().union(*(code_of(stage) for stage in STAGES if stage not in READERS_OF_CODE))
    assert not {path for path in everything if path.startswith(("storage/tracking/", "stages/params.py"))}


def test_kept_delays_and_normalisation_are_dependencies_of_the_angle_delay_stage():
    """The two that a list written by hand once lacked."""
    assert {"wavefoundry/csi/kept_delays.py", "wavefoundry/csi/normalisation.py"} <= code_of("angle_delay")


def test_an_import_that_is_added_or_taken_away_is_told_and_written(copy):
    file = copy / "stages/csi.py"
    file.write_text("from wavefoundry.csi import augmentation\n" + file.read_text())
    with pytest.raises(InputError) as caught:
        check()
    assert str(caught.value).startswith(
        "dvc.yaml: stages.csi.deps does not name wavefoundry/csi/augmentation.py, which"
    )
    assert "python -m stages.dependencies" in str(caught.value)
    dag = copy / "dvc.yaml"
    dag.write_text(complete(dag.read_text()))
    check()
    file.write_text(file.read_text().partition("\n")[2])
    dependencies._imports.cache_clear()
    with pytest.raises(InputError, match=r"names wavefoundry/csi/augmentation\.py, which its module does not import"):
        check()


def test_what_only_type_checkers_see_is_no_dependency(copy):
    file = copy / "stages/csi.py"
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from wavefoundry.csi import augmentation\n"
    before = closure(["stages.csi"])
    file.write_text(text + file.read_text())
    dependencies._imports.cache_clear()
    assert closure(["stages.csi"]) == before


@pytest.mark.parametrize("command", ["sh odd.sh", "python -m", "python", ""])
def test_a_command_that_runs_no_module_is_refused(command):
    with pytest.raises(InputError, match=rf"stages\.odd\.cmd is '{command}', allowed: python -m stages\.MODULE"):
        dependencies.code_dependencies("odd", {"cmd": command})


@pytest.mark.parametrize(
    "text", [None, "", "stages: {", "stages: 3", "stages: {a: {}}", "stages: {a: {cmd: python -m}}"]
)
def test_a_dvc_yaml_without_commands_is_one_message_and_stays(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dependencies"])
    if text is not None:
        Path("dvc.yaml").write_text(text)
    with pytest.raises(SystemExit, match=r"^dvc\.yaml: [^\n]+$"):
        dependencies.main()
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if text is None else [text])


def test_there_is_no_circle_of_imports(monkeypatch):
    """In all layers: no module is imported, at import time or later, by what it imports itself."""
    packages = (*PACKAGES, "flows")
    monkeypatch.setattr(dependencies, "PACKAGES", packages)
    dependencies._imports.cache_clear()
    files = [file for package in packages for file in Path(package).rglob("*.py")]
    names = {file: ".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files}
    known = set(names.values())
    edges = {names[file]: {name for name in dependencies._imports(file) if name in known} for file in files}
    dependencies._imports.cache_clear()
    done: set[str] = set()

    def visit(name, way):
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name] - {name}):
                visit(other, [*way, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    assert len(done) == len(known)
