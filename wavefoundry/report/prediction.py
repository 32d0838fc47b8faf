"""The report's tables of prediction."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas

from wavefoundry.evaluation.metrics import to_db
from wavefoundry.evaluation.options import ZeroForcing
from wavefoundry.evaluation.prediction_curves import CURVES, curve_points, ordered_parts
from wavefoundry.evaluation.results import rows_about
from wavefoundry.evaluation.summary import latencies_ms, mean_nmse_db, parameter_counts
from wavefoundry.report.tables import markdown_table, mean_and_spread, significant

# Column of the table of results, and what a table calls it.
STATISTICS = {"value": "mean", "median": "median", "quantile_90": "90%"}
LINE_OF_SIGHT = ("line of sight", "no line of sight")  # parts of the table of results


def overview_table(
    table: pandas.DataFrame,
    measured: pandas.DataFrame,
    differences: pandas.DataFrame,
    datasets: Mapping[str, Sequence[str]],
) -> str:
    """Every predictor: NMSE of every question over the data sets that are compared, seeds, parameters, latency.

    Args:
        table, measured: of results.
        differences: as `wavefoundry.evaluation.paired.DIFFERENCE_COLUMNS`; it has the intervals of the means.
        datasets: by question, the means are taken over these.
    """
    header, rows = overview(table, measured, datasets)
    own = differences[differences["other"].isna()]
    intervals = {(row.model, row.question): f"[{row.low_db:.2f}, {row.high_db:.2f}]" for row in own.itertuples()}
    for row in rows:
        for column, heading in enumerate(header):
            interval = intervals.get((row[0], heading.removesuffix(" [dB]")))
            if interval:
                mean, *spread = row[column].split(" ± ")
                row[column] = " ± ".join([f"{mean} {interval}", *spread])
    return markdown_table(header, rows)


def overview(
    table: pandas.DataFrame, measured: pandas.DataFrame, datasets: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of `overview_table`."""
    means = mean_nmse_db(table, datasets, "test")
    questions = list(dict.fromkeys(means["question"]))
    counts, latencies = parameter_counts(table), latencies_ms(measured)
    rows = []
    for model, figures in means.groupby("model", sort=False):
        values = {question: list(some["nmse_db"]) for question, some in figures.groupby("question", sort=False)}
        parameters = counts.get(str(model), 0)
        rows.append(
            [
                str(model),
                *(mean_and_spread(values[question]) if question in values else "-" for question in questions),
                str(max(map(len, values.values()))) if parameters else "-",
                f"{parameters:,}",
                significant(latencies[str(model)], 2) if model in latencies else "-",
            ]
        )
    costs = ["seeds", "parameters", "latency in PyTorch [ms]"]
    return ["model", *(f"{question} [dB]" for question in questions), *costs], rows


def compared_datasets(datasets: Mapping[str, Sequence[str]]) -> str:
    """The data sets that means are taken over: once if they are those of all questions, or question by question."""
    told = {question: ", ".join(names) for question, names in datasets.items()}
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{question}: {names}" for question, names in told.items())


def dataset_table(
    table: pandas.DataFrame, question: str, datasets: Sequence[str], is_new: Callable[[str, str], bool]
) -> str:
    """NMSE of every predictor on every data set: mean, median and 90 % quantile over samples, "-" where it does not
    answer the question.

    Args:
        table: of results.
        question: the question.
        datasets: the columns, three each.
        is_new: whether a model (first) has not learnt from a data set (second): zero-shot.
    """
    rows = table[(table["metric"] == "nmse") & (table["split"] == "test") & (table["question"] == question)]
    values = dict(iter(rows.groupby(["model", "dataset"], sort=False)))

    def cell(model: str, dataset: str, statistic: str) -> str:
        if (model, dataset) not in values:
            return "-"
        text = mean_and_spread([to_db(value) for value in values[model, dataset][statistic]])
        return f"{text} (zero-shot)" if statistic == "value" and is_new(model, dataset) else text

    columns = [(dataset, statistic) for dataset in datasets for statistic in STATISTICS]
    return markdown_table(
        ["model", *(f"{dataset}, {STATISTICS[statistic]}" for dataset, statistic in columns)],
        [[model, *(cell(model, *column) for column in columns)] for model in dict.fromkeys(rows["model"])],
    )


def sight_part(table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]]) -> str:
    """NMSE [dB] of every predictor about users with line of sight at their first slot, and about those without.

    Args:
        table: of results.
        datasets: by question; the means are taken over those of these that have both kinds of users, or what lies
            between the columns would be the data sets'.
    """
    metric = "nmse_of_sight"
    rows = rows_about(table[(table["metric"] == metric) & (table["split"] == "test")], datasets)
    kinds = rows.groupby(["question", "dataset"], sort=False)["part"].nunique()
    mixed = {
        question: [name for name in names if kinds.get((question, name), 0) == len(LINE_OF_SIGHT)]
        for question, names in datasets.items()
    }
    mixed = {question: names for question, names in mixed.items() if names}
    if not mixed:
        return "No data set compared has test users with and without line of sight."
    curves = {question: curve_points(rows, metric, question, names) for question, names in mixed.items()}
    told = {
        (model, question, part): f"{value:.2f}"
        for question, by_model in curves.items()
        for model, points in by_model.items()
        for part, value in points
    }
    columns = [(question, part) for question in mixed for part in LINE_OF_SIGHT]
    cells = markdown_table(
        ["model", *(f"{question}, {part} [dB]" for question, part in columns)],
        [
            [model, *(told.get((model, *column), "-") for column in columns)]
            for model in dict.fromkeys(model for model, _, _ in told)
        ],
    )
    return (
        "NMSE of users with line of sight at their first slot and of those without, mean over the data sets compared "
        f"that have both ({compared_datasets(mixed)}):\n\n{cells}"
    )


def differences_table(differences: pandas.DataFrame, best: Mapping[str, str]) -> str:
    """Difference of every predictor from the best without training, with its interval; "-" of that one itself.

    Args:
        differences: as `wavefoundry.evaluation.paired.DIFFERENCE_COLUMNS`.
        best: by question, see `wavefoundry.evaluation.summary.best_methods`.
    """
    rows = differences[differences["other"] == differences["question"].map(best)]
    told = {
        (row.model, row.question): f"{row.difference_db:+.2f} [{row.low_db:+.2f}, {row.high_db:+.2f}]"
        for row in rows.itertuples()
    }
    return markdown_table(
        ["model", *(f"{question}: from {other} [dB]" for question, other in best.items())],
        [
            [model, *(told.get((model, question), "-") for question in best)]
            for model in dict.fromkeys(differences["model"])
        ],
    )


def spectral_efficiency_table(table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]]) -> str:
    """Spectral efficiency with predicted beams, mean over data sets and seeds, and its share of the channel's own."""
    return _beside_perfect(table, datasets, "spectral_efficiency")


def zero_forcing_part(
    table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], options: ZeroForcing | None
) -> str:
    """Sum rate of groups of users with zero-forcing from predicted channels, mean over data sets and seeds, and its
    share of that from the channels themselves; and of which data sets there are no groups, and why.

    Args:
        table: of results.
        datasets: by question, the means are taken over those of these that have groups.
        options: of the groups; None: they are left out of the study.
    """
    if options is None:
        return "Groups of users with zero-forcing are left out of this study."
    rows = rows_about(table, datasets)
    left_out = rows[rows["metric"] == "zero_forcing_left_out"]
    parts = [
        f"Zero-forcing with the predicted channels of {options.users} users of one site at once ({options.groups} "
        "groups of each data set), who share the power of one: what all of them carry together, and its share of what "
        "their channels themselves would give:"
    ]
    if (rows["metric"] == "zero_forcing_sum_rate").any():
        parts.append(_beside_perfect(table, datasets, "zero_forcing_sum_rate"))
    reasons = dict.fromkeys(f"- {row.dataset}: {row.part}" for row in left_out.itertuples())
    if reasons:
        parts.append("Left out:\n\n" + "\n".join(reasons))
    return "\n\n".join(parts)


def _beside_perfect(table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]], metric: str) -> str:
    perfect = f"{metric}_perfect"
    rows = rows_about(table[table["metric"].isin([metric, perfect])], datasets)
    means = rows.groupby(["metric", "model", "question"], sort=False)["value"].mean()

    def cell(model: str, question: str) -> str:
        if (metric, model, question) not in means.index:
            return "-"
        own = means[metric, model, question]
        return f"{own:.2f} ({own / means[perfect, model, question]:.1%})"

    return markdown_table(
        ["model", *(f"{question} [bit/s/Hz]" for question in datasets)],
        [[model, *(cell(model, question) for question in datasets)] for model in dict.fromkeys(rows["model"])],
    )


def expected_error_table(table: pandas.DataFrame, datasets: Mapping[str, Sequence[str]]) -> str | None:
    """How much more NMSE predictors expect of themselves than is measured [dB]; None where none expects anything.

    Both are means over data sets and seeds.
    """
    rows = table[table["metric"].isin(["nmse", "nmse_expected"]) & (table["split"] == "test")]
    rows = rows_about(rows, datasets)
    means = rows.groupby(["metric", "model", "question"], sort=False)["value"].mean()
    told = {
        (model, question): f"{10 * np.log10(value / means['nmse', model, question]):+.2f}"
        for (metric, model, question), value in means.items()
        if metric == "nmse_expected"
    }
    if not told:
        return None
    return markdown_table(
        ["model", *(f"{question}, expected against measured [dB]" for question in datasets)],
        [
            [model, *(told.get((model, question), "-") for question in datasets)]
            for model in dict.fromkeys(model for model, _ in told)
        ],
    )


def curve_table(table: pandas.DataFrame, kind: str, question: str, datasets: Sequence[str]) -> str | None:
    """NMSE [dB] of every model over the horizon, speed or SNR; None where there is no curve.

    Args:
        table: of results.
        kind: one of `wavefoundry.evaluation.prediction_curves.CURVES`.
        question: the question.
        datasets: over which the means are taken.
    """
    metric, label, unit = CURVES[kind]
    curves = curve_points(table, metric, question, datasets)
    parts = ordered_parts(curves.values())
    if len(parts) < 2:
        return None
    told = {model: dict(points) for model, points in curves.items()}
    heading = f"{label} [{unit}]" if unit else label
    return markdown_table(
        [f"{question}, {heading}", *(part.removesuffix(f" {unit}") for part in parts)],
        [
            [model, *(f"{points[part]:.2f}" if part in points else "-" for part in parts)]
            for model, points in told.items()
        ],
    )
