"""What git has checked out, for the records of runs."""

import subprocess

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
