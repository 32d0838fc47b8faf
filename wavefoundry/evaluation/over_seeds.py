"""What the seeds of one entry say together, and of two what they say of the difference."""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from scipy.stats import t as student


def spread(values: Iterable[float]) -> float:
    """Standard deviation over seeds, 0 of a single one."""
    values = [float(value) for value in values]
    return statistics.stdev(values) if len(values) > 1 else 0.0


class OverSeeds(NamedTuple):
    """How sure the mean difference of two models is over their seeds.

    spread: standard deviation of a difference.
    margin: half the width of the interval of the mean difference.
    """

    spread: float
    margin: float


def difference_over_seeds(model: Mapping[int, float], other: Mapping[int, float], level: float) -> OverSeeds | None:
    """How sure the difference of the means of two models is over their seeds.

    Where both have the same seeds, these are compared one by one: seed k draws the same initial weights, batches or
    labels on both sides, so that what it does to both is no difference; the interval is that of Student's t. Otherwise
    it is that of B. L. Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances
    are Involved", Biometrika 34, 1947; a side without seeds does not vary.

    Args:
        model, other: score by seed; empty of what has none.
        level: of the interval.

    Returns:
        None where one of them has one seed, of which nothing is known.
    """
    if 1 in (len(model), len(other)):
        return None
    if model.keys() == other.keys():
        sides = [[model[seed] - other[seed] for seed in model]]
    else:
        sides = [list(scores.values()) for scores in (model, other) if scores]
    variances = [spread(side) ** 2 for side in sides]
    of_means = [variance / len(side) for variance, side in zip(variances, sides, strict=True) if side]
    if not sum(of_means):
        return OverSeeds(0.0, 0.0)
    freedom = sum(of_means) ** 2 / sum(
        variance**2 / (len(side) - 1) for variance, side in zip(of_means, sides, strict=True)
    )
    margin = student.ppf((1 + level) / 2, freedom) * math.sqrt(sum(of_means))
    return OverSeeds(math.sqrt(sum(variances)), float(margin))
