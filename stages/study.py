"""Lay a study over params.yaml, `python -m stages.study studies/paper.yaml`; go back, `python -m stages.study --back`.

What a study may say is told in stages/overlay.py, and what is brought back in stages/back.py.
"""

import argparse
from pathlib import Path

from stages.back import back
from stages.overlay import apply
from stages.params import PATH
from stages.stage import clear_errors
from storage.errors import StorageError
from storage.git import committed
from wavefoundry.errors import InputError

GO_BACK = "python -m stages.study --back"


def lay(study: Path) -> None:
    """Lay a study over params.yaml, whatever that holds.

    Raises:
        InputError: as `stages.overlay.apply`; where params.yaml is not as it was committed the error says so, for then
            the reason may be the study that was laid over it before.
    """
    try:
        apply(study)
    except InputError as error:
        if not _is_changed():
            raise
        raise InputError(
            f"{error}\n{PATH} is not as it was committed: if another study lies over it, go back first: {GO_BACK}"
        ) from None


def _is_changed() -> bool:
    try:
        return PATH.exists() and PATH.read_text() != committed(PATH)
    except StorageError:
        return False


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.study", description=__doc__.splitlines()[0])
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("study", type=Path, nargs="?", help="overlay, such as studies/paper.yaml")
    choice.add_argument(
        "--back",
        action="store_true",
        help="the committed params.yaml and dvc.lock, and their outputs",
    )
    arguments = parser.parse_args()
    if arguments.back:
        back()
    else:
        lay(arguments.study)
        print(f"{PATH} now holds the study {arguments.study}; back to the committed parameters: {GO_BACK}")


if __name__ == "__main__":
    main()
