"""Lay a study over params.yaml, `python -m stages.study studies/paper.yaml`; go back, `python -m stages.study --back`.

What a study may say is told in stages/overlay.py, and what is brought back in stages/back.py.
"""

import argparse
from pathlib import Path

from stages.back import back
from stages.overlay import apply
from stages.params import PATH
from stages.stage import clear_errors

GO_BACK = "python -m stages.study --back"


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
        apply(arguments.study)
        print(f"{PATH} now holds the study {arguments.study}; back to the committed parameters: {GO_BACK}")


if __name__ == "__main__":
    main()
