"""Whether predictors that say how far off they expect to be are as far off as they say, from a table of samples."""

from collections.abc import Sequence

import numpy as np
import pandas

# Groups of samples, from those of which the least error is expected to those of the largest.
GROUPS = 10


def calibration_points(
    samples: pandas.DataFrame, question: str, datasets: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """(expected, measured) NMSE in dB of every model that says what it expects, in groups of samples of equal size.

    Both are means of ratios over the samples of a group and all seeds.

    Args:
        samples: as `wavefoundry.evaluation.results.SAMPLE_COLUMNS`.
        question: the question.
        datasets: whose samples count.
    """
    rows = samples[(samples["question"] == question) & samples["dataset"].isin(list(datasets))]
    rows = rows[rows["expected_nmse"].notna()]
    found = {}
    for model, some in rows.groupby("model", sort=False):
        ordered = some.sort_values("expected_nmse", kind="stable")
        groups = np.arange(len(ordered)) * GROUPS // len(ordered)
        means = ordered.groupby(groups)[["expected_nmse", "nmse"]].mean()
        found[str(model)] = [(float(x), float(y)) for x, y in 10 * np.log10(means.to_numpy())]
    return found
