"""The report's table of claims."""

from collections.abc import Mapping
from typing import Any

import pandas

from wavefoundry.evaluation.claim_options import ClaimOptions
from wavefoundry.evaluation.claims import SPREAD_OF_ONE_SEED_DB
from wavefoundry.report.tables import markdown_table

CLAIMS_NOTE = f""""yes" and "no" where the whole interval of the difference over test trajectories says so, and the
difference is further from what is claimed than seeds lie apart; otherwise "undecided". Of one seed it is not known how
far others would lie apart: {SPREAD_OF_ONE_SEED_DB:g} dB are taken."""


def claims_table(claims: Mapping[str, ClaimOptions], judged: pandas.DataFrame) -> str:
    """One row a claim: what is claimed, by whom, what was measured, whether it holds; "None." where there is no claim.

    Args:
        claims: by name.
        judged: as `wavefoundry.evaluation.claims.CLAIM_COLUMNS`.
    """
    if not claims:
        return "None."
    return markdown_table(
        ["claim", "source", "test", "measured here", "holds"],
        [_claim_row(claims[str(row.claim)], row) for row in judged.itertuples()],
    )


def _claim_row(claim: ClaimOptions, row: Any) -> list[str]:
    test = f"{row.question}: {row.model} " + (
        f"ahead of {row.other}" if claim.ahead_db == 0
        else f"at least {claim.ahead_db:g} dB ahead of {row.other}" if claim.ahead_db > 0
        else f"at most {-claim.ahead_db:g} dB behind {row.other}"
    )  # fmt: skip
    if claim.datasets is not None:
        test += f" on {', '.join(claim.datasets)}"
    measured = (
        f"{row.model_db:.2f} dB against {row.other_db:.2f} dB, difference {row.difference_db:+.2f} dB "
        f"[{row.low_db:+.2f}, {row.high_db:+.2f}], {_seeds(row)}"
    )
    return [claim.says, claim.source, test, measured, "**no**" if row.holds == "no" else row.holds]


def _seeds(row: Any) -> str:
    counts = [number for number in (row.seeds, row.other_seeds) if not pandas.isna(number)]
    if not counts:
        return "no seeds"
    told = "seeds " + " and ".join(str(number) for number in counts)
    return told if pandas.isna(row.spread_db) else f"{told}, spread {row.spread_db:.2f} dB"
