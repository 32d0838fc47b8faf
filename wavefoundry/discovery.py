"""Kinds of things that are found by name: a folder or a file in a package is one, and no list elsewhere names it."""

import pkgutil
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from wavefoundry.errors import InputError


def options_of_folders(package: ModuleType, main: str) -> dict[str, Any]:
    """`Options` of every folder of a package that has an `options.py`, by the folder's name.

    Args:
        package: where to look.
        main: name of the module that does the work; a folder that has this one declares its options too.

    Raises:
        InputError: a folder has the module `main` and no `options.py`.
    """
    found = {}
    for folder in sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg):
        name = f"{package.__name__}.{folder}"
        if find_spec(f"{name}.options"):
            found[folder] = import_module(f"{name}.options").Options
        elif find_spec(f"{name}.{main}"):
            raise InputError(f"{name.replace('.', '/')} has {main}.py and no options.py, which declares its settings")
    return found


def options_of_files(package: ModuleType) -> dict[str, Any]:
    """`Options` of every file of a package, by the file's name."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: import_module(f"{package.__name__}.{name}").Options for name in names}
