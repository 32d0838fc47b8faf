"""The report's table of ranks: how often every predictor comes first."""

import pandas

from wavefoundry.report.tables import markdown_table

RANKS_NOTE = """How often every predictor comes first, as a share of the combinations of question, data set and
condition, and in brackets its mean rank where it answers; equal ones share the better rank. Ranks say who is ahead
where, not by how much, and not how surely: for that, see the intervals."""


def rank_table(ranks: pandas.DataFrame) -> str | None:
    """Markdown: a row a model, a column a suite and metric; None where nobody was ranked.

    Args:
        ranks: columns as `wavefoundry.evaluation.ranks.RANK_COLUMNS`.
    """
    columns = list(dict.fromkeys(zip(ranks["suite"], ranks["metric"], ranks["combinations"], strict=True)))
    if not columns:
        return None
    told = {
        (row.model, row.suite, row.metric): f"{row.first / row.combinations:.0%} ({row.mean_rank:.1f})"
        for row in ranks.itertuples()
    }
    return markdown_table(
        ["model", *(f"{suite.replace('_', ' ')}: {metric}, of {number}" for suite, metric, number in columns)],
        [
            [model, *(told.get((model, suite, metric), "-") for suite, metric, _ in columns)]
            for model in dict.fromkeys(ranks["model"])
        ],
    )
