"""What a table of results comes to: means over data sets, with the spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from wavefoundry.evaluation.metrics import to_db
from wavefoundry.evaluation.over_seeds import spread
from wavefoundry.evaluation.results import rows_about


def mean_nmse_db(table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], split: str) -> pandas.DataFrame:
    """NMSE of every model, question and seed over some data sets, each of which counts the same.

    Args:
        table: of results.
        datasets: by question, the mean is taken over the ratios of these; questions that it lacks are left out.
        split: "validation" or "test".

    Returns:
        columns model, question, seed, nmse_db; a model that lacks one of the data sets in a question is left out of it.
        Models and questions are in the order of the table; the seed of what is not trained is missing.
    """
    rows = rows_about(table[(table["metric"] == "nmse") & (table["split"] == split)], datasets)
    groups = rows.groupby(["model", "question", "seed"], sort=False, dropna=False)["value"]
    means = groups.agg(["mean", "size"]).reset_index()
    means = means[means["size"] == means["question"].map({name: len(names) for name, names in datasets.items()})]
    return means.assign(nmse_db=[to_db(value) for value in means["mean"]])[["model", "question", "seed", "nmse_db"]]


def best_methods(
    table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], methods: Sequence[str]
) -> dict[str, str]:
    """The best of some models, question by question, by the mean NMSE on the validation split.

    Args:
        table: of results.
        datasets: by question, the mean is taken over these.
        methods: the models to choose from; questions that none of them answers are left out.
    """
    means = mean_nmse_db(table, datasets, "validation")
    means = means[means["model"].isin(list(methods))].sort_values("nmse_db", kind="stable")
    best = means.drop_duplicates("question").set_index("question")["model"]
    return {question: str(best[question]) for question in datasets if question in best.index}


def by_dataset_nmse_db(table: pandas.DataFrame, split: str) -> pandas.DataFrame:
    """NMSE of every model, question, data set and seed: columns model, question, dataset, seed, nmse_db."""
    rows = table[(table["metric"] == "nmse") & (table["split"] == split)]
    columns = ["model", "question", "dataset", "seed"]
    return rows[columns].assign(nmse_db=[to_db(value) for value in rows["value"]]).reset_index(drop=True)


def parameter_counts(table: pandas.DataFrame) -> dict[str, int]:
    """Number of values, trained or fitted, of every model whose values were counted."""
    return {model: int(value) for model, value in _first_values(table[table["metric"] == "parameters"]).items()}


def latencies_ms(measured: pandas.DataFrame) -> dict[str, float]:
    """Latency of one prediction by every model, of the first question that it answers [ms]."""
    return _first_values(measured[(measured["metric"] == "latency_ms") & measured["dataset"].notna()])


def energies_mj(measured: pandas.DataFrame) -> dict[str, float]:
    """Energy of one prediction by every model of which it was measured, of the first question that it answers [mJ]."""
    return _first_values(measured[(measured["metric"] == "energy_mj") & measured["dataset"].notna()])


def _first_values(rows: pandas.DataFrame) -> dict[str, float]:
    return {str(row.model): float(row.value) for row in rows.drop_duplicates("model").itertuples()}


def summarise(
    table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], downstream: Any
) -> dict[str, Mapping[str, Any]]:
    """{evaluation: {model: {figure: number}}} for people who compare runs.

    Args:
        table: of results.
        datasets: by question, over which predictors are compared.
        downstream: parameters of the downstream tasks, None where there are none.
    """
    prediction: dict[str, dict[str, float]] = {}
    for (model, question), rows in mean_nmse_db(table, datasets, "test").groupby(["model", "question"], sort=False):
        figures = prediction.setdefault(model, {})
        figures[f"{question}_nmse_db"] = round(float(rows["nmse_db"].mean()), 4)
        if len(rows) > 1:
            figures[f"{question}_nmse_db_spread"] = round(spread(rows["nmse_db"]), 4)
    return {
        "prediction": prediction,
        "downstream": {} if downstream is None else _downstream(table, downstream),
        "efficiency": _efficiency(table),
    }


def _downstream(table: pandas.DataFrame, section: Any) -> dict[str, dict[str, float]]:
    from wavefoundry.evaluation.downstream.task import tasks_of

    shown = {section.choice_fraction, max(section.label_fractions)}
    metrics = {name: task.metric for name, task in tasks_of(section).items()}
    rows = table[(table["evaluation"] == "downstream") & (table["part"] == "curve") & (table["split"] == "test")]
    rows = rows[rows["label_fraction"].isin(list(shown)) & (rows["metric"] == rows["question"].map(metrics))]
    found: dict[str, dict[str, float]] = {}
    columns = ["model", "question", "label_fraction", "metric"]
    for (model, task, fraction, metric), values in rows.groupby(columns, sort=False)["value"]:
        figures = found.setdefault(model, {})
        key = f"{task}_{metric}_{100 * float(fraction):g}_percent"
        figures[key] = round(float(values.mean()), 4)
        figures[f"{key}_spread"] = round(spread(values), 4)
    return found


def _efficiency(table: pandas.DataFrame) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for model, rows in table[table["evaluation"] == "efficiency"].groupby("model", sort=False):
        figures: dict[str, float] = {"parameters": int(rows.loc[rows["metric"] == "parameters", "value"].iloc[0])}
        costs = operations(rows)
        if len(costs) > 1:
            figures["megaflops_per_token"] = round(costs["flops"].iloc[-1] / costs["tokens"].iloc[-1] / 1e6, 4)
            figures["flops_slope"] = round(slope(costs["tokens"], costs["flops"]), 3)
        found[model] = figures
    return found


def operations(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Tokens and operations of one model at the sizes that it reads, indexed by the size: columns tokens, flops."""
    counted = rows[rows["metric"].isin(["tokens", "flops"])]
    if counted.empty:
        return pandas.DataFrame({"tokens": [], "flops": []})
    wide = counted.pivot(index="question", columns="metric", values="value")
    return wide.loc[list(dict.fromkeys(counted["question"])), ["tokens", "flops"]]


def slope(tokens: Sequence[float], costs: Sequence[float]) -> float:
    """Growth of a cost with the tokens: slope of the straight line through the logarithms."""
    return float(np.polyfit(np.log(np.asarray(tokens, float)), np.log(np.asarray(costs, float)), 1)[0])
