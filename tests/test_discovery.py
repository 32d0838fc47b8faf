"""Folders and files of a package are found by their names; a folder that lacks its options is named."""

import sys

import pytest

from wavefoundry.discovery import options_of_files, options_of_folders
from wavefoundry.errors import InputError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package, and where it lies."""
    name = "things_found_by_name"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder, lambda: __import__(name)
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def write(folder, **modules):
    folder.mkdir(exist_ok=True)
    for name, text in {"__init__": "", **modules}.items():
        (folder / f"{name}.py").write_text(text)


def test_every_folder_with_options_is_found_and_no_other(package):
    folder, imported = package
    write(folder / "second", options="Options = 2", model="")
    write(folder / "first", options="Options = 1", model="")
    write(folder / "shared", helpers="")
    assert list(options_of_folders(imported(), "model").items()) == [("first", 1), ("second", 2)]


def test_every_file_is_found(package):
    folder, imported = package
    write(folder, second="Options = 2", first="Options = 1")
    assert list(options_of_files(imported()).items()) == [("first", 1), ("second", 2)]


def test_a_folder_without_its_options_is_named(package):
    folder, imported = package
    write(folder / "forgotten", model="")
    with pytest.raises(InputError, match=r"things_found_by_name/forgotten has model\.py and no options\.py"):
        options_of_folders(imported(), "model")
