"""Whether a run only tries something: an experiment of DVC, or a run of the flow with parameters of its own."""

import os

# Set by DVC, and by the flow for a run in a folder of its own.
EXPERIMENT, OWN_PARAMETERS = "DVC_EXP_NAME", "WAVEFOUNDRY_RUN"


def experiment() -> str | None:
    """Name of the experiment of DVC that runs, None if none does."""
    return os.environ.get(EXPERIMENT) or None


def trial() -> str | None:
    """What this run is called if it only tries something."""
    if name := experiment():
        return f"the experiment {name}"
    own = os.environ.get(OWN_PARAMETERS)
    return f"the run {own} with parameters of its own" if own else None
