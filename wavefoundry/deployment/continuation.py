"""CSI that is continued along one axis in a graph, where anything is asked for along it."""

from collections.abc import Callable

from wavefoundry.deployment.graph_writer import Term, Writer

# Of CSI (sample, time, antenna, subcarrier, 2): the dimension of an axis.
DIMENSIONS = {"time": 1, "frequency": 3}
# What the entries along an axis are called.
ENTRIES = {"time": "slots", "frequency": "subcarriers"}


def at_most(what: str, axis: str, length: int) -> str:
    """A limit, in words: what a predictor has learnt of an axis, "mixture" for instance, spans so many entries."""
    return f"the {what} of {axis} takes at most {length} {ENTRIES[axis]}, known and asked for together"


def continued(box: Term, axis: str, horizon: Term, beyond: Callable[[Term, Term], Term]) -> Term:
    """CSI (sample, time, antenna, subcarrier, 2) with what follows it along an axis.

    Args:
        box: what is known.
        axis: a key of DIMENSIONS.
        horizon: how many slots or subcarriers are asked for, (1,); of 0 the box stays as it is.
        beyond: writes what follows a box, of so many entries along the axis and all along the others.
    """

    def then(branch: Writer) -> list[Term]:
        known = box.within(branch)
        return [branch.joined(DIMENSIONS[axis], known, beyond(known, horizon.within(branch)))]

    return box.writer.branch(horizon > 0, then, lambda branch: [box])[0]
