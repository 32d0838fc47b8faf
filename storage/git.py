"""What git has checked out, for the records of runs, and files as they are committed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError, first_line

_QUESTIONS = {"commit": ["HEAD"], "short": ["--short", "HEAD"], "branch": ["--abbrev-ref", "HEAD"]}


def head() -> dict[str, str]:
    """The commit that is checked out in the working directory, and its branch.

    Returns:
        "commit", its full hash; "short", the same abbreviated; "branch", which is "HEAD" where no branch is checked
        out. Empty outside a git repository, in one without a commit, and where git is not installed.
    """
    found = {}
    for word, question in _QUESTIONS.items():
        try:
            answer = subprocess.run(["git", "rev-parse", *question], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return {}
        found[word] = answer.stdout.strip()
    return found


def committed(path: Path) -> str:
    """The text of a file of the working directory in the commit that is checked out.

    Raises:
        StorageError: there is none, or no git repository.
    """
    return _git("show", f"HEAD:./{path}")


def checkout(paths: Sequence[Path]) -> None:
    """Make files of the working directory those of the commit that is checked out.

    Raises:
        StorageError: as `committed`.
    """
    _git("checkout", "HEAD", "--", *map(str, paths))


def _git(*command: str) -> str:
    try:
        return subprocess.run(["git", *command], capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise StorageError(f"git {' '.join(command)}: {first_line(error.stderr)}") from None
    except OSError as error:
        raise StorageError(f"git {' '.join(command)}: {error.strerror}") from None
