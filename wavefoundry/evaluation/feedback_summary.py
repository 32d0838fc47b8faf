"""What the rows of channel feedback come to: means over data sets."""

from collections.abc import Sequence

import pandas

from wavefoundry.evaluation.metrics import to_db
from wavefoundry.evaluation.over_seeds import spread

BOUND = "nmse_gaussian_bound"


def feedback_means(table: pandas.DataFrame, datasets: Sequence[str], split: str) -> pandas.DataFrame:
    """Mean of every metric, codec, rate and seed over some data sets, each of which counts the same.

    Args:
        table: of results.
        datasets: a codec that lacks one of them is left out.
        split: "validation" or "test".

    Returns:
        columns model, rate, seed, metric, value; codecs in the order of the table.
    """
    rows = table[(table["evaluation"] == "feedback") & (table["split"] == split)]
    rows = rows[rows["dataset"].isin(list(datasets))]
    groups = rows.groupby(["model", "question", "seed", "metric"], sort=False, dropna=False)["value"]
    means = groups.agg(["mean", "size"]).reset_index()
    means = means[means["size"] == len(datasets)]
    rates = [int(question.split()[0]) for question in means["question"]]
    return means.assign(rate=rates, value=means["mean"])[["model", "rate", "seed", "metric", "value"]]


def summarise_feedback(table: pandas.DataFrame, datasets: Sequence[str]) -> dict[str, dict[str, float]]:
    """{model: {figure: number}} on the test split, for people who compare runs."""
    means = feedback_means(table, datasets, "test")
    found: dict[str, dict[str, float]] = {}
    for (model, rate), rows in means[means["metric"] == "nmse"].groupby(["model", "rate"], sort=False):
        values = [to_db(value) for value in rows["value"]]
        figures = found.setdefault(str(model), {})
        figures[f"{rate}_bits_nmse_db"] = round(sum(values) / len(values), 4)
        if len(values) > 1:
            figures[f"{rate}_bits_nmse_db_spread"] = round(spread(values), 4)
    return found
