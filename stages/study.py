"""Lay a study over params.yaml, `python -m stages.study studies/paper.yaml`; go back, `python -m stages.study --back`.

What a study may say is told in stages/overlay.py, and what is brought back in stages/back.py.
"""

import argparse
from pathlib import Path

from stages.back import back
from stages.overlay import apply, laid_over
from stages.params import PATH
from stages.running import beside_no_run
from stages.stage import clear_errors
from storage.errors import StorageError
from storage.git import committed
from wavefoundry.errors import InputError

GO_BACK = "python -m stages.study --back"


def lay(study: Path) -> None:
    """Lay a study over params.yaml, whatever that holds.

    Raises:
        InputError: a run is under way; or as `stages.overlay.apply`, where it would fit over the committed params.yaml
            the error says so, for then what lies over that is the reason, such as another study.
        StorageError: params.yaml cannot be written.
    """
    with beside_no_run():
        try:
            apply(study)
        except InputError as error:
            if not _fits_over_the_committed(study):
                raise
            raise InputError(
                f"{error}\n{study} fits over {PATH} as it was committed, not over what it holds; to go back: {GO_BACK}"
            ) from None


def _fits_over_the_committed(study: Path) -> bool:
    try:
        return laid_over(committed(PATH), study) is not None
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
