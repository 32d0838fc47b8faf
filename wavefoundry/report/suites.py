"""The report's section on suites: questions of prediction that are asked under other conditions."""

from collections.abc import Callable, Mapping, Sequence

import pandas

from wavefoundry.evaluation.suite_options import SuiteOptions
from wavefoundry.report.tables import markdown_table


def suites_section(
    found: pandas.DataFrame,
    suites: Mapping[str, SuiteOptions],
    datasets: Mapping[str, Sequence[str]],
    best: Mapping[str, str],
    has_learnt: Callable[[str, str], bool],
) -> str:
    """Markdown: for every suite and question, NMSE of every predictor under every condition, and the differences from
    the best predictor without training, with intervals.

    Args:
        found: columns as `wavefoundry.evaluation.suites.CONDITION_COLUMNS`.
        suites: by name.
        datasets: by question, of suites that name none.
        best: by question, see `wavefoundry.evaluation.summary.best_methods`.
        has_learnt: whether a model (first) has learnt from a data set (second).
    """
    parts = []
    for name, suite in suites.items():
        parts.append(f"### {_words(name).capitalize()}")
        for question, asked in suite.asked_about(datasets).items():
            rows = found[(found["suite"] == name) & (found["question"] == question)]
            if rows.empty:
                parts.append(f"No predictor answers {question} about {', '.join(asked) or 'any data set'}.")
                continue
            parts += [_introduction(suite, question, asked), condition_table(rows, suite, None, has_learnt)]
            other = best.get(question)
            if (rows["other"] == other).any():
                parts += [f"{question}: difference from {other}, on the same samples; below 0 is better:"]
                parts.append(condition_table(rows, suite, other, has_learnt))
    return "\n\n".join(parts)


def condition_table(
    rows: pandas.DataFrame, suite: SuiteOptions, other: str | None, has_learnt: Callable[[str, str], bool]
) -> str:
    """Means [dB] by model and condition, or differences from another model, with intervals.

    Args:
        rows: of one suite and question, columns as `wavefoundry.evaluation.suites.CONDITION_COLUMNS`.
        suite: the conditions are its impairments, or data sets.
        other: what is told is the difference from it; None: the mean itself.
        has_learnt: whether a model has learnt from a data set; such means are marked where data sets are conditions.
    """
    sign, own = ("", rows["other"].isna()) if other is None else ("+", rows["other"] == other)
    conditions = list(dict.fromkeys(rows["condition"]))
    told = {
        (row.model, row.condition): f"{row.difference_db:{sign}.2f} [{row.low_db:{sign}.2f}, {row.high_db:{sign}.2f}]"
        for row in rows[own].itertuples()
    }

    def cell(model: str, condition: str) -> str:
        learnt = not suite.impairments and has_learnt(model, condition)
        return told.get((model, condition), "-") + (" (learnt from it)" if learnt else "")

    return markdown_table(
        ["model", *(f"{_words(condition) if suite.impairments else condition} [dB]" for condition in conditions)],
        [
            [model, *(cell(model, condition) for condition in conditions)]
            for model in dict.fromkeys(model for model, _ in told)
        ],
    )


def _introduction(suite: SuiteOptions, question: str, datasets: Sequence[str]) -> str:
    samples = "All test samples" if suite.samples is None else f"At most {suite.samples} test samples"
    if not suite.impairments:
        return f"{question}: {samples[0].lower()}{samples[1:]} of data sets one by one."
    return (
        f"{question}: the known block is impaired, on top of its noise; what is asked for is clean. {samples} of each "
        f"data set, evenly spread, the first seed; means over {', '.join(datasets)}."
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
