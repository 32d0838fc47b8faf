"""What runs are called in Prefect and MLflow: by what they do."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.workspace import name_of

# Stages that a name lists; of more it tells how many.
LISTED = 3
# Of a run without targets.
EVERYTHING = "all stages"


def name_of_run(parameters: Mapping[str, Any]) -> str:
    """The name of a run of the pipeline, such as "csi@munich, teach", "all stages, anew: distill" or, of a run with
    parameters of its own, "all stages (feedback_seed-7)", where the brackets hold the name of its folder.

    Args:
        parameters: of the flow; one that is missing has its default.
    """
    name = _listed(parameters.get("targets") or ()) or EVERYTHING
    if force := parameters.get("force"):
        name += f", anew: {_listed(force)}"
    folder = name_of(parameters.get("study"), parameters.get("scenarios") or (), parameters.get("seed"))
    return f"{name} ({folder})" if folder else name


def _listed(stages: Sequence[str]) -> str:
    listed = ", ".join(stages[:LISTED])
    return f"{listed} and {len(stages) - LISTED} more" if len(stages) > LISTED else listed
