"""Back from a study: parameters, lock file and outputs are those of the commit, and nothing is lost on the way."""

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from filelock import FileLock

from stages import back as back_module
from stages import study as study_module
from stages.running import LOCK, is_under_way
from stages.study import main
from tests.parameters import FILE

DAG = """
stages:
  draw:
    cmd: echo seed ${seed} $SEED >drawn.txt && mkdir -p data && echo data ${seed} $SEED >data/a.txt
    params: [seed]
    outs: [drawn.txt, data]
  each:
    foreach: ${predictors}
    do:
      cmd: mkdir -p each && echo ${key} >each/${key}.txt
      outs: ["each/${key}.txt"]
"""
FILES = ("params.yaml", "dvc.lock", "drawn.txt", "data/a.txt")


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments], check=True, capture_output=True)


def study(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["study", *arguments])
    main()


def files():
    return {name: Path(name).read_text() for name in FILES}


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A project of one stage, run and committed; and a study of another seed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_text(FILE.read_text())
    (folder / "dvc.yaml").write_text(DAG)
    (folder / "studies").mkdir()
    (folder / "studies/seed.yaml").write_text("seed: 5\n")
    (folder / "studies/wrong.yaml").write_text("sede: 5\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        git("init", "-q")
        Repo.init().close()
        with Repo(".") as repo:
            repo.reproduce()
        git("add", "-A")
        git("commit", "-q", "-m", "x")
    return folder


@pytest.fixture
def project(committed, monkeypatch):
    """The project; afterwards it is as it was."""
    monkeypatch.chdir(committed)
    yield committed
    git("checkout", "HEAD", "--", ".")
    with Repo(".") as repo:
        repo.checkout(force=True)


def run_the_study(monkeypatch):
    study(monkeypatch, "studies/seed.yaml")
    with Repo(".") as repo:
        repo.reproduce()


def test_parameters_lock_file_and_outputs_are_those_of_the_commit(project, monkeypatch, capfd):
    before = files()
    run_the_study(monkeypatch)
    laid = files()
    assert all(laid[name] != before[name] for name in FILES)
    study(monkeypatch, "--back")
    assert files() == before
    told = capfd.readouterr().out
    assert "holds studies/seed.yaml" in told and "drawn.txt" in told and "not in DVC's cache" not in told
    # What the study has made is not lost: nothing is drawn again (in this environment it would be something else).
    monkeypatch.setenv("SEED", "drawn again")
    run_the_study(monkeypatch)
    assert files() == laid


def test_what_entries_of_the_study_have_made_goes_with_them(project, monkeypatch):
    before = {path.name for path in Path("each").iterdir()}
    more = Path("studies/more.yaml")
    more.write_text("predictors: {reciprocity: {}}\n")
    study(monkeypatch, str(more))
    with Repo(".") as repo:
        repo.reproduce()
    assert {path.name for path in Path("each").iterdir()} == before | {"reciprocity.txt"}
    study(monkeypatch, "--back")
    more.unlink()
    assert {path.name for path in Path("each").iterdir()} == before
    with Repo(".") as repo:
        assert repo.status() == {}


def test_a_study_that_does_not_fit_over_another_one_is_refused_with_the_way_back(project, tmp_path, monkeypatch):
    fewer, other = tmp_path / "fewer.yaml", tmp_path / "other.yaml"
    fewer.write_text("only: {predictors: [sample_and_hold]}\n")
    other.write_text("predictors: {autoregression: {method: autoregression}}\n")
    study(monkeypatch, str(other))
    git("checkout", "HEAD", "--", "params.yaml")
    with pytest.raises(SystemExit, match="sede") as refused:
        study(monkeypatch, "studies/wrong.yaml")
    assert "--back" not in str(refused.value)
    study(monkeypatch, str(fewer))
    laid = Path("params.yaml").read_text()
    with pytest.raises(SystemExit, match="as it was committed, not over what it holds") as refused:
        study(monkeypatch, str(other))
    assert str(refused.value).endswith("python -m stages.study --back")
    assert "predictors.autoregression.order: missing" in str(refused.value)
    assert Path("params.yaml").read_text() == laid
    with pytest.raises(SystemExit, match="no such file") as refused:
        study(monkeypatch, "studies/typo.yaml")
    assert "--back" not in str(refused.value)


def test_back_where_nothing_was_laid_over_changes_nothing(project, monkeypatch, capfd):
    before = files()
    study(monkeypatch, "--back")
    assert files() == before
    assert "is as it was committed" in capfd.readouterr().out


def test_edits_that_are_no_study_are_kept(project, monkeypatch):
    run_the_study(monkeypatch)
    with Path("params.yaml").open("a") as file:
        file.write("# mine\n")
    before = files()
    with pytest.raises(SystemExit, match=r"params\.yaml has changes that are neither committed nor a file of studies"):
        study(monkeypatch, "--back")
    assert files() == before


def test_an_output_that_the_cache_does_not_hold_is_kept(project, monkeypatch):
    run_the_study(monkeypatch)
    Path("data/a.txt").unlink()
    Path("data/a.txt").write_text("by hand")
    before = files()
    with pytest.raises(SystemExit, match=r"dvc checkout refuses, and nothing has changed: (.|\n)*data/a\.txt"):
        study(monkeypatch, "--back")
    assert files() == before


def test_outputs_of_another_machine_are_told_as_missing(project, monkeypatch, capfd):
    before = files()
    with Repo(".") as repo:
        (drawn,) = (Path(output.cache_path) for output in repo.index.outs if output.fs_path.endswith("drawn.txt"))
    run_the_study(monkeypatch)
    kept = drawn.rename(project.parent / "aside")
    try:
        study(monkeypatch, "--back")
        assert "some are not in DVC's cache" in capfd.readouterr().out
        assert Path("data/a.txt").read_text() == before["data/a.txt"]
        assert not Path("drawn.txt").exists()
    finally:
        kept.rename(drawn)


def test_back_waits_for_no_run_and_disturbs_none(project, monkeypatch):
    run_the_study(monkeypatch)
    before = files()
    with FileLock(LOCK), pytest.raises(SystemExit, match="a run is under way"):
        study(monkeypatch, "--back")
    assert files() == before


def test_no_study_is_laid_under_a_run(project, monkeypatch):
    before = files()
    with FileLock(LOCK), pytest.raises(SystemExit, match="a run is under way") as refused:
        study(monkeypatch, "studies/seed.yaml")
    assert "\n" not in str(refused.value)
    assert files() == before


@pytest.mark.parametrize(("arguments", "where"), [(["studies/seed.yaml"], study_module), (["--back"], back_module)])
def test_no_run_begins_before_a_study_is_laid_or_taken_back(project, monkeypatch, arguments, where):
    held = []
    name = "apply" if where is study_module else "checkout"
    original = getattr(where, name)

    def watched(*given):
        held.append(is_under_way())
        original(*given)

    monkeypatch.setattr(where, name, watched)
    study(monkeypatch, *arguments)
    assert held == [True] and not is_under_way()


def test_without_git_there_is_nothing_to_go_back_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SystemExit, match=r"git show HEAD:\./params\.yaml: fatal: not a git repository"):
        study(monkeypatch, "--back")
