"""Tables in the layout of a paper: predictors side by side, data sets below each other, all questions in a cell."""

from collections.abc import Mapping

import pandas

from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.paired import differences
from wavefoundry.evaluation.summary import mean_nmse_db
from wavefoundry.evaluation.table_options import TableOptions
from wavefoundry.report.tables import markdown_table, mean_and_spread

# Label and format of every cost.
COSTS = {
    "parameters": ("parameters", "{:,.0f}"),
    "latency_ms": ("latency in PyTorch [ms]", "{:.1f}"),
    "training_seconds": ("time of one training [s]", "{:.0f}"),
    "teacher_passes_saved": ("teacher passes saved", "{:.0%}"),
}


def paper_table(
    options: TableOptions,
    table: pandas.DataFrame,
    samples: pandas.DataFrame,
    costs: Mapping[str, Mapping[str, float]],
    bootstrap: Bootstrap,
) -> str:
    """The table as measured here, and the published one below it where there is one; markdown.

    A cell has, question by question, the mean over data sets [dB] with the interval of the bootstrap over trajectories
    and the standard deviation over seeds; "-" where a predictor does not answer, or a cost is not known.

    Args:
        options: of the table.
        table: of results.
        samples: of all splits, columns as `wavefoundry.evaluation.results.SAMPLE_COLUMNS`.
        costs: {cost: {entry: figure}}.
        bootstrap: options of the intervals.
    """
    entries = list(options.columns.values())
    own = samples[(samples["split"] == options.split) & samples["model"].isin(entries)]
    rows = []
    for heading, datasets in options.rows.items():
        asked = {question: datasets for question in options.questions}
        means = mean_nmse_db(table, asked, options.split).groupby(["model", "question"], sort=False)["nmse_db"]
        seeds = {key: list(values) for key, values in means}
        found = differences(own, asked, {}, bootstrap)
        intervals = {(row.model, row.question): f"[{row.low_db:.2f}, {row.high_db:.2f}]" for row in found.itertuples()}
        rows.append(
            [
                f"{heading} [dB]",
                *(
                    " / ".join(_cell(seeds, intervals, (entry, question)) for question in options.questions)
                    for entry in entries
                ),
            ]
        )
    for cost in options.costs:
        label, form = COSTS[cost]
        known = costs.get(cost, {})
        rows.append([label, *(form.format(known[entry]) if entry in known else "-" for entry in entries)])
    head = f"{' / '.join(options.questions)}, {options.split} split" if options.rows else ""
    parts = [f"### {options.title}", markdown_table([head, *options.columns], rows)]
    if options.published is not None:
        parts += [f"As published: {options.published.source}", _published(options)]
    return "\n\n".join(parts)


def _cell(seeds: Mapping, intervals: Mapping, key: tuple[str, str]) -> str:
    if key not in seeds:
        return "-"
    mean, *spread = mean_and_spread(seeds[key]).split(" ± ")
    return " ± ".join([f"{mean} {intervals[key]}", *spread])


def _published(options: TableOptions) -> str:
    assert options.published is not None
    told = options.published.rows
    columns = list(dict.fromkeys(column for cells in told.values() for column in cells))
    rows = [
        [
            f"{heading} [dB]",
            *(" / ".join(f"{value:.2f}" for value in cells[column]) if column in cells else "-" for column in columns),
        ]
        for heading, cells in told.items()
    ]
    return markdown_table([" / ".join(options.questions), *columns], rows)
