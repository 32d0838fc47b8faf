"""What the papers claim, set against what was measured here, whoever wins."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import pandas

from wavefoundry.evaluation.claim_options import ClaimOptions
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.over_seeds import spread
from wavefoundry.evaluation.paired import differences
from wavefoundry.evaluation.summary import best_methods, mean_nmse_db

# Columns of the table of claims; one row a claim.
CLAIM_COLUMNS = {
    "claim": "string",
    "question": "string",
    "model": "string",
    "other": "string",  # of those that it is set against, the best on the validation split
    "model_db": "float64",  # mean NMSE on the test split
    "other_db": "float64",
    "difference_db": "float64",  # of model from other, below 0 where model is better
    "low_db": "float64",
    "high_db": "float64",
    "seeds": "Int64",  # of model; missing of what has none
    "other_seeds": "Int64",
    "spread_db": "float64",  # the larger one of the standard deviations over seeds; missing: not known of one seed
    "holds": "string",  # "yes", "no", "undecided"
}

# What one seed says nothing about is taken to be this much: twice the widest spread over three seeds in the studies.
SPREAD_OF_ONE_SEED_DB = 0.35

Verdict = Literal["yes", "no", "undecided"]


def judge(
    claims: Mapping[str, ClaimOptions],
    table: pandas.DataFrame,
    samples: pandas.DataFrame,
    datasets: Mapping[str, Sequence[str]],
    options: Bootstrap,
) -> pandas.DataFrame:
    """One row a claim, columns as `CLAIM_COLUMNS`.

    Args:
        claims: by name.
        table: of results.
        samples: of the test split, columns as `wavefoundry.evaluation.results.SAMPLE_COLUMNS`.
        datasets: by question, those on which everybody is compared.
        options: of the bootstrap.
    """
    rows = [
        _judge(name, claim, table, samples, claim.datasets or datasets[claim.question], options)
        for name, claim in claims.items()
    ]
    return pandas.DataFrame(rows, columns=list(CLAIM_COLUMNS)).astype(CLAIM_COLUMNS)


def _judge(
    name: str,
    claim: ClaimOptions,
    table: pandas.DataFrame,
    samples: pandas.DataFrame,
    datasets: Sequence[str],
    options: Bootstrap,
) -> dict:
    asked = {claim.question: datasets}
    # Where there is nothing to choose by, the first one.
    other = best_methods(table, asked, claim.others).get(claim.question, claim.others[0])
    means = mean_nmse_db(table, asked, "test")
    of = [means[means["model"] == one] for one in (claim.model, other)]
    seeds = [int(rows["seed"].notna().sum()) for rows in of]
    both = samples[samples["model"].isin([claim.model, other])]
    found = differences(both, asked, {claim.question: [(claim.model, other)]}, options)
    (row,) = found[found["other"].notna()].to_dict("records")
    known = 1 not in seeds
    widest = max(spread(rows["nmse_db"]) for rows in of)
    return {
        "claim": name,
        "question": claim.question,
        "model": claim.model,
        "other": other,
        "model_db": of[0]["nmse_db"].mean(),
        "other_db": of[1]["nmse_db"].mean(),
        **{key: row[key] for key in ("difference_db", "low_db", "high_db")},
        "seeds": seeds[0] or None,
        "other_seeds": seeds[1] or None,
        "spread_db": widest if known else None,
        "holds": verdict(
            row["difference_db"],
            row["low_db"],
            row["high_db"],
            claim.ahead_db,
            widest if known else max(widest, SPREAD_OF_ONE_SEED_DB),
        ),
    }


def verdict(difference_db: float, low_db: float, high_db: float, ahead_db: float, spread_db: float) -> Verdict:
    """Whether a model is ahead of another by at least `ahead_db`.

    "yes" and "no" where the whole interval says so, and another draw of the weights would hardly change it: the
    difference is further from what was claimed than seeds lie apart. Everything else is "undecided".

    Args:
        difference_db: of the model from the other, below 0 where it is better.
        low_db, high_db: interval of the difference over test trajectories.
        ahead_db: what is claimed.
        spread_db: standard deviation over seeds.
    """
    limit = -ahead_db
    if math.isclose(difference_db, limit, abs_tol=spread_db) and spread_db > 0:
        return "undecided"
    if high_db < limit:
        return "yes"
    return "no" if low_db > limit else "undecided"
