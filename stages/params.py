"""params.yaml, read, typed and checked as a whole before any stage does anything.

`python -m stages.params` is the first stage of the DAG: it refuses a bad params.yaml, and a dvc.yaml that does not name
the code that its stages import, before DVC removes or runs anything. DVC lets no stage depend on dvc.yaml by that name;
the link stages/dag.yaml is how this one does. The flow checks both at the start of every run, too.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from stages.content import Content
from stages.messages import keys_of, meant
from stages.paths import LANGUAGE_MODELS
from stages.schema import Params
from stages.yaml_files import load, read_text
from storage.errors import StorageError
from storage.replacement import clear_write_errors
from wavefoundry.errors import InputError
from wavefoundry.faults import describe

PATH = Path("params.yaml")
Kind = TypeVar("Kind", bound=Content)


def read(path: Path = PATH) -> Params:
    """Read and check the whole parameter file.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a key is unknown, missing, there twice, of a wrong type
            or out of range; one short line per fault with the key, the value and what is allowed.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; run from the project's top folder")
    return parse(read_text(path), str(path))


def parse(text: str, source: str) -> Params:
    """Check the text of a parameter file; `source` names it in messages.

    Raises:
        InputError: as `read`.
    """
    return _checked(Params, text, source)


def check_keys(text: str, source: str) -> None:
    """Check every key of the text of a parameter file by itself, not whether its parts fit together.

    Raises:
        InputError: as `read`.
    """
    _checked(Content, text, source)


def _checked(kind: type[Kind], text: str, source: str) -> Kind:
    content = load(text, source)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = [(keys_of(fault["loc"], content), fault) for fault in error.errors()]
        missing = [keys for keys, fault in faults if fault["type"] == "missing"]
        told = [describe(keys, fault) + meant(keys, fault["type"], missing) for keys, fault in faults]
        raise InputError("\n".join(f"{source}: {line}" for fault in told for line in fault.split("\n"))) from None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.params", description=f"Check {PATH} and dvc.yaml.")
    parser.parse_args(arguments)
    from stages import dependencies

    try:
        parameters = read()
        dependencies.check()
        # The second one is a folder that others depend on, also where it has no entries.
        for folder in (Path("data"), LANGUAGE_MODELS):
            with clear_write_errors(folder):
                folder.mkdir(exist_ok=True)
                (folder / "params.checked").write_text("params.yaml is valid\n")
    except (InputError, StorageError) as error:
        sys.exit(str(error))
    for sentence in parameters.left_out:
        print(sentence)


if __name__ == "__main__":
    main()
