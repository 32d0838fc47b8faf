"""The digests equal what DVC itself computes."""

import shutil
import string
from pathlib import Path

import pytest
from dvc.repo import Repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.digests import digest
from storage.errors import StorageError

NAMES = st.text(string.ascii_lowercase + "é_. 7", min_size=1, max_size=6).filter(
    lambda name: name.strip(" .") == name and name
)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=40), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dvc")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Repo.init(no_scm=True) as repository:
            (folder / ".dvcignore").write_text("__pycache__\n*.pyc\n.*.partial\nbuild/\n!keep.pyc\n")
            repository._reset()
            yield repository


def dvc_digest(repository, path) -> str:
    (stage,) = repository.add(str(path))
    return stage.outs[0].hash_info.value


def test_file(repository):
    path = Path("data.bin")
    path.write_bytes(b"\r\n\x00" * 1000)
    assert digest(path) == dvc_digest(repository, path)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_folder(repository, tree):
    folder = Path("tree")
    shutil.rmtree(folder, ignore_errors=True)
    for parts, content in tree.items():
        path = folder.joinpath(*parts)
        if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    assert digest(folder) == dvc_digest(repository, folder)


def test_ignored_files_do_not_count(repository):
    folder = Path("package")
    for name in ("module.py", "sub/other.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n")
    before = digest(folder)
    for name in ("__pycache__/m.cpython.pyc", "sub/__pycache__/n", "x.pyc", ".store.partial/half", "build/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("noise")
    assert digest(folder) == before == dvc_digest(repository, folder)
    (folder / "keep.pyc").write_text("un-ignored by the last line")
    assert before != digest(folder) == dvc_digest(repository, folder)


def test_missing_path_is_a_clear_error(tmp_path):
    with pytest.raises(StorageError, match=r"nothing\.zarr: no such file or folder"):
        digest(tmp_path / "nothing.zarr")
