"""How often every predictor comes first, combination by combination.

As in "CSI-4CAST: A Hybrid Deep Learning Model for CSI Prediction with Comprehensive Robustness and Generalization
Testing", arXiv:2510.12996: in every combination of question, data set and condition the predictors are ranked by their
mean over the test samples, and the share of first places is told. A mean over data sets in decibels hides who is ahead
where; ranks hide by how much.
"""

from collections.abc import Mapping, Sequence

import pandas

from wavefoundry.evaluation.results import rows_about
from wavefoundry.evaluation.suite_options import UNIMPAIRED, SuiteOptions

NMSE = "NMSE"
SPECTRAL_EFFICIENCY = "spectral efficiency"
# The questions themselves; no name of a suite has a blank.
REGULAR = "the questions"
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


def ranks(
    table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], suites: Mapping[str, SuiteOptions]
) -> pandas.DataFrame:
    """First places and mean rank of every model.

    Args:
        table: of results; a model with several seeds counts with the mean over them.
        datasets: by question, those on which everybody is compared: the combinations of `REGULAR`.
        suites: by name; with impairments, the same without one is no combination, for it is one of `REGULAR`.

    Returns:
        columns as `RANK_COLUMNS`, models in the order of the table; suites that nobody answers are left out. What is
        no number comes last.
    """
    tested = table[(table["evaluation"] == "prediction") & (table["split"] == "test")]
    regular = rows_about(tested, datasets)
    efficiency = regular[regular["metric"] == "spectral_efficiency"]
    parts = [
        _ranked(regular[regular["metric"] == "nmse"], REGULAR, NMSE),
        _ranked(efficiency.assign(value=-efficiency["value"]), REGULAR, SPECTRAL_EFFICIENCY),
    ]
    conditions = tested[tested["metric"] == "nmse_of_condition"]
    for name, suite in suites.items():
        own = rows_about(conditions[conditions["part"].str.startswith(f"{name}: ")], suite.asked_about(datasets))
        parts.append(_ranked(own[own["part"] != f"{name}: {UNIMPAIRED}"], name, NMSE))
    found = [part for part in parts if len(part)]
    joined = pandas.concat(found, ignore_index=True) if found else pandas.DataFrame(columns=list(RANK_COLUMNS))
    return joined.astype(RANK_COLUMNS)


def _ranked(rows: pandas.DataFrame, suite: str, metric: str) -> pandas.DataFrame:
    """Ranks by `value`, of which the smallest is the best."""
    combination = ["question", "dataset", "part"]
    by_seed = rows.groupby([*combination, "model"], sort=False, dropna=False)["value"]
    means = by_seed.agg(lambda values: values.mean(skipna=False)).reset_index()
    if means.empty:
        return pandas.DataFrame(columns=list(RANK_COLUMNS))
    groups = means.groupby(combination, sort=False, dropna=False)
    means["rank"] = groups["value"].rank(method="min", na_option="bottom")
    found = means.groupby("model", sort=False)["rank"].agg(
        first=lambda ranks: int((ranks == 1).sum()), answered="size", mean_rank="mean"
    )
    found = found.loc[list(dict.fromkeys(rows["model"]))].reset_index()
    return found.assign(suite=suite, metric=metric, combinations=groups.ngroups)[list(RANK_COLUMNS)]
