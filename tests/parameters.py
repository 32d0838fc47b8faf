"""Parameters of the tests' own: adding an entry to the default study breaks no test."""

from pathlib import Path

from stages.yaml_files import read

PROJECT = Path(__file__).parents[1]
FILE = PROJECT / "tests/params.yaml"


def tiny_parameters() -> dict:
    """A complete study with few samples, small networks and short trainings, as the content of params.yaml."""
    return read(FILE)
