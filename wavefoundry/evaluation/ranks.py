"""How often every predictor comes first, combination by combination.

As in "CSI-4CAST: A Hybrid Deep Learning Model for CSI Prediction with Comprehensive Robustness and Generalization
Testing", arXiv:2510.12996: in every combination of question, data set and condition the predictors are ranked by their
mean over the test samples, and the share of first places is told. A mean over data sets in decibels hides who is ahead
where; ranks hide by how much.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from wavefoundry.evaluation.suite_options import UNIMPAIRED, SuiteOptions

NMSE = "NMSE"
SPECTRAL_EFFICIENCY = "spectral efficiency"
REGULAR = "regular"
# Columns of the table of ranks; a row for every suite, metric and model.
RANK_COLUMNS = {
    "suite": "string",  # `REGULAR` are the questions themselves
    "metric": "string",  # `NMSE` or `SPECTRAL_EFFICIENCY`
    "model": "string",
    "combinations": "int64",  # of the suite, whether the model answers or not
    "first": "int64",  # of them those in which no model is better
    "answered": "int64",
    "mean_rank": "float64",  # over the combinations that the model answers; equal ones share the better rank
}


def rank_shares(
    table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], suites: Mapping[str, SuiteOptions]
) -> pandas.DataFrame:
    """First places and mean rank of every model.

    Args:
        table: of results; a model with several seeds counts with the mean over them.
        datasets: by question, those on which everybody is compared: the combinations of `REGULAR`.
        suites: by name; with impairments, the same without one is no combination, for it is one of `REGULAR`.

    Returns:
        columns as `RANK_COLUMNS`, models in the order of the table; suites that nobody answers are left out.
    """
    tested = table[(table["evaluation"] == "prediction") & (table["split"] == "test")]
    pairs = {(question, dataset) for question, names in datasets.items() for dataset in names}
    regular = tested[
        np.array([pair in pairs for pair in zip(tested["question"], tested["dataset"], strict=True)], dtype=bool)
    ]
    efficiency = regular[regular["metric"] == "spectral_efficiency"]
    parts = [
        _ranked(regular[regular["metric"] == "nmse"], REGULAR, NMSE),
        _ranked(efficiency.assign(value=-efficiency["value"]), REGULAR, SPECTRAL_EFFICIENCY),
    ]
    conditions = tested[tested["metric"] == "nmse_of_condition"]
    for name in suites:
        own = conditions[conditions["part"].str.startswith(f"{name}: ")]
        parts.append(_ranked(own[own["part"] != f"{name}: {UNIMPAIRED}"], name, NMSE))
    found = [part for part in parts if len(part)]
    joined = pandas.concat(found, ignore_index=True) if found else pandas.DataFrame(columns=list(RANK_COLUMNS))
    return joined.astype(RANK_COLUMNS)


def _ranked(rows: pandas.DataFrame, suite: str, metric: str) -> pandas.DataFrame:
    """Ranks by `value`, of which the smallest is the best."""
    combination = ["question", "dataset", "part"]
    means = rows.groupby([*combination, "model"], sort=False, dropna=False)["value"].mean().reset_index()
    if means.empty:
        return pandas.DataFrame(columns=list(RANK_COLUMNS))
    groups = means.groupby(combination, sort=False, dropna=False)
    means["rank"] = groups["value"].rank(method="min")
    found = means.groupby("model", sort=False)["rank"].agg(
        first=lambda ranks: int((ranks == 1).sum()), answered="size", mean_rank="mean"
    )
    found = found.loc[list(dict.fromkeys(rows["model"]))].reset_index()
    return found.assign(suite=suite, metric=metric, combinations=groups.ngroups)[list(RANK_COLUMNS)]
