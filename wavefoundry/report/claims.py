"""The report's table of claims."""

from collections.abc import Mapping
from typing import Any

import pandas

from wavefoundry.evaluation.claim_options import FeedbackClaim, NmseClaim, PredictionClaim, TaskClaim
from wavefoundry.evaluation.claims import MARGIN_OF_ONE_SEED_DB, question
from wavefoundry.evaluation.downstream.reference import without_head
from wavefoundry.evaluation.downstream.scores import ScoreTable
from wavefoundry.evaluation.downstream.wording import unit_of
from wavefoundry.report.tables import markdown_table

CLAIMS_NOTE = f""""yes" and "no" where the whole interval of the difference over test trajectories says so, and that
over seeds (Student's t), of which those that both sides have are compared one by one; otherwise "undecided". Of one
seed it is not known how far others would lie apart: of a prediction or of feedback {MARGIN_OF_ONE_SEED_DB:g} dB are
taken to either side, and a downstream task stays undecided. Seeds of a downstream task draw its labels and its head;
the network is that of the first seed of its training. Of several others a model has to be ahead of each; the comparison
that decides is shown, and its standard deviation over seeds as "spread". Beside each verdict on a downstream task
stands what is reached without a head, by the answer that is named: a head that does not surpass it adds
nothing to that answer, whatever it is ahead of."""


def claims_table(
    claims: Mapping[str, PredictionClaim | FeedbackClaim | TaskClaim], judged: pandas.DataFrame, table: pandas.DataFrame
) -> str:
    """One row a claim: what is claimed, by whom, what was measured, whether it holds; "None." where there is no claim.

    Args:
        claims: by name.
        judged: as `wavefoundry.evaluation.claims.CLAIM_COLUMNS`.
        table: of results; it has what downstream tasks reach without a head.
    """
    if not claims:
        return "None."
    scores = ScoreTable(table)
    return markdown_table(
        ["claim", "source", "test", "measured here", "holds"],
        [_claim_row(claims[str(row.claim)], row, scores) for row in judged.itertuples()],
    )


def _claim_row(claim: PredictionClaim | FeedbackClaim | TaskClaim, row: Any, scores: ScoreTable) -> list[str]:
    unit = f" {unit_of(row.metric)}".rstrip()
    # Two digits of what has a unit, three of a share.
    exact = 2 if unit else 3
    ahead = claim.ahead if isinstance(claim, TaskClaim) else claim.ahead_db
    test = f"{_asked(claim)}: {row.model} " + (
        f"ahead of {row.other}" if ahead == 0
        else f"at least {ahead:g}{unit} ahead of {row.other}" if ahead > 0
        else f"at most {-ahead:g}{unit} behind {row.other}"
    )  # fmt: skip
    if isinstance(claim, NmseClaim) and claim.datasets is not None:
        test += f" on {', '.join(claim.datasets)}"
    measured = (
        f"{row.score:.{exact}f}{unit} against {row.other_score:.{exact}f}{unit}, difference "
        f"{row.difference:+.{exact}f}{unit} [{row.low:+.{exact}f}, {row.high:+.{exact}f}], {_seeds(row)}"
    )
    if not pandas.isna(row.spread) and not pandas.isna(row.seeds):
        measured += f", spread {row.spread:.{exact}f}{unit}"
    if isinstance(claim, TaskClaim) and (reference := without_head(scores, claim.task, row.metric)):
        measured += f"; without a head {reference.score:.{exact}f}{unit} ({reference.answer})"
    return [claim.says, claim.source, test, measured, "**no**" if row.holds == "no" else row.holds]


def _asked(claim: PredictionClaim | FeedbackClaim | TaskClaim) -> str:
    if not isinstance(claim, TaskClaim):
        return question(claim)
    return f"{claim.task} with {claim.label_fraction:.0%} of the labels"


def _seeds(row: Any) -> str:
    counts = [number for number in (row.seeds, row.other_seeds) if not pandas.isna(number)]
    return "seeds " + " and ".join(str(number) for number in counts) if counts else "no seeds"
