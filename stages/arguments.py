"""The command line of stages of which there is one for each entry of a group of params.yaml."""

import argparse
from collections.abc import Sequence

# Whose entries predict.
PREDICTOR_GROUPS = ("pretrain", "teach", "distill", "predictors")


def group_and_name(program: str, description: str | None, groups: Sequence[str]) -> tuple[str, str]:
    """What the command line names: a group, such as "teach", and one of its entries.

    Args:
        program: the module that is run, such as "stages.train".
        description: what it does.
        groups: those that are allowed.

    Raises:
        SystemExit: code 2 after a message on stderr, on anything else.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("group", choices=groups)
    parser.add_argument("name", help="entry of the group; the same word again where it has none")
    arguments = parser.parse_args()
    return arguments.group, arguments.name
