"""Back from a study: the committed params.yaml and dvc.lock, and the outputs that belong to them.

Nothing is lost. What the study has made stays in DVC's cache: laid over params.yaml again and run, it is taken from
there. What is nowhere else is not touched: edits of params.yaml by hand, and outputs that DVC's cache does not hold.
"""

import subprocess
import sys
from pathlib import Path

from stages.overlay import laid_over, may_be_in
from stages.params import PATH
from stages.running import beside_no_run
from storage.git import checkout, committed, head
from storage.replacement import replace_file
from wavefoundry.errors import InputError

LOCK = Path("dvc.lock")
STUDIES = Path("studies")


def back() -> None:
    """Check out params.yaml and dvc.lock as they are committed, then the outputs; tell each step before it is taken.

    Raises:
        InputError: a run is under way, or something would be lost; nothing has changed.
        StorageError: there is no git repository with these files.
    """
    with beside_no_run():
        _check_out()


def _check_out() -> None:
    text = committed(PATH)
    committed(LOCK)
    print(f"{PATH} {_what_it_holds(text)}")
    print(f"{PATH} and {LOCK} become those of commit {head()['short']} (git checkout HEAD -- {PATH} {LOCK})")
    before = {path: path.read_text() for path in (PATH, LOCK) if path.exists()}
    checkout([PATH, LOCK])
    try:
        print("the outputs become those that it names, from DVC's cache (dvc checkout)", flush=True)
        complete = _bring_outputs()
    except BaseException:
        for path, old in before.items():
            replace_file(path, old)
        raise
    if not complete:
        print("some are not in DVC's cache: make run takes them from earlier runs of this project, or makes them")


def _what_it_holds(text: str) -> str:
    """What params.yaml is, beside the committed text of it.

    Raises:
        InputError: neither this text nor a study laid over it.
    """
    current = PATH.read_text() if PATH.exists() else text
    if current == text:
        return "is as it was committed"
    for study in sorted(STUDIES.glob("*.yaml")):
        if may_be_in(study, current) and laid_over(text, study) == current:
            return f"holds {study}"
    raise InputError(
        f"{PATH} has changes that are neither committed nor a file of {STUDIES}, and would be lost; keep them as "
        f"such a file or commit them, or drop them: git checkout HEAD -- {PATH}"
    )


def _bring_outputs() -> bool:
    """Have DVC check out the outputs, and tell what changes; whether all of them were in its cache.

    Raises:
        InputError: an output that is not in the cache would be lost; DVC looks for such ones first.
    """
    complete = _dvc("checkout")
    if complete.returncode == 0:
        return True
    if (allowing := _dvc("checkout", "--allow-missing")).returncode == 0:
        return False
    raise InputError(
        f"dvc checkout refuses, and nothing has changed: {allowing.stderr.strip()}\n"
        "remove or rename what is not to be kept; dvc commit keeps what is"
    )


def _dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    print(ran.stdout, end="", flush=True)
    return ran
