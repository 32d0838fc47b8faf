"""What the papers claim, set against what was measured here, whoever wins."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas

from wavefoundry.evaluation.claim_options import FeedbackClaim, NmseClaim, PredictionClaim, TaskClaim
from wavefoundry.evaluation.downstream.paired_scores import resampled_scores
from wavefoundry.evaluation.downstream.scores import at_fraction
from wavefoundry.evaluation.downstream.task import DownstreamTask
from wavefoundry.evaluation.feedback_options import question as rate_question
from wavefoundry.evaluation.options import Bootstrap
from wavefoundry.evaluation.over_seeds import difference_over_seeds, spread
from wavefoundry.evaluation.paired import differences, tails
from wavefoundry.evaluation.summary import mean_nmse_db

# Columns of the table of claims; one row a claim.
CLAIM_COLUMNS = {
    "claim": "string",
    "question": "string",  # of prediction, the rate of feedback ("5 bits"), or the downstream task
    "label_fraction": "Float64",  # missing of predictions
    "metric": "string",  # of the scores; "nmse_db" of predictions and feedback
    "model": "string",
    "other": "string",  # of those that it is set against, the one that decides
    "score": "float64",  # of model on the test split, mean over seeds
    "other_score": "float64",
    "difference": "float64",  # score less other_score
    "low": "float64",
    "high": "float64",
    "seeds": "Int64",  # of model; missing of what has none
    "other_seeds": "Int64",
    "spread": "float64",  # standard deviation of the difference over seeds; missing: not known of one seed
    "holds": "string",  # "yes", "no", "undecided"
}

# What one seed says nothing about is taken to be this much: more than twice the widest standard deviation over seeds on
# any page of docs/results, as a test says.
MARGIN_OF_ONE_SEED_DB = 0.7

Verdict = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Evidence:
    """What was measured.

    table: of results.
    samples: of predictions and of channel feedback of the test split, columns as
        `wavefoundry.evaluation.results.SAMPLE_COLUMNS`.
    datasets: by question or rate of feedback ("5 bits"), those on which everybody is compared.
    tasks: by the names of their entries.
    task_samples: columns as `wavefoundry.evaluation.results.DOWNSTREAM_SAMPLE_COLUMNS`.
    bootstrap: options of the intervals.
    """

    table: pandas.DataFrame
    samples: pandas.DataFrame
    datasets: Mapping[str, Sequence[str]]
    tasks: Mapping[str, DownstreamTask]
    task_samples: pandas.DataFrame
    bootstrap: Bootstrap


def judge(claims: Mapping[str, PredictionClaim | FeedbackClaim | TaskClaim], evidence: Evidence) -> pandas.DataFrame:
    """One row a claim, columns as `CLAIM_COLUMNS`."""
    rows = [
        {"claim": name, "model": claim.model}
        | (_task_row(claim, evidence) if isinstance(claim, TaskClaim) else _nmse_row(claim, question(claim), evidence))
        for name, claim in claims.items()
    ]
    return pandas.DataFrame(rows, columns=list(CLAIM_COLUMNS)).astype(CLAIM_COLUMNS)


def question(claim: PredictionClaim | FeedbackClaim) -> str:
    """What it compares, as the table of results calls it."""
    return rate_question(claim.bits) if isinstance(claim, FeedbackClaim) else claim.question


def _nmse_row(claim: NmseClaim, question: str, evidence: Evidence) -> dict[str, Any]:
    asked = {question: claim.datasets or evidence.datasets[question]}
    means = mean_nmse_db(evidence.table, asked, "test")
    samples = evidence.samples[evidence.samples["model"].isin([claim.model, *claim.others])]
    pairs = [(claim.model, other) for other in claim.others]
    found = differences(samples, asked, {question: pairs}, evidence.bootstrap).set_index("other")
    level = evidence.bootstrap.level
    return _hardest(_nmse_comparison(claim, other, means, found.loc[other], level) for other in claim.others) | {
        "question": question,
        "metric": "nmse_db",
    }


def _nmse_comparison(
    claim: NmseClaim, other: str, means: pandas.DataFrame, found: pandas.Series, level: float
) -> dict[str, Any]:
    """What was measured of the model and one other; `means` [dB] by model and seed, `found` the row of differences,
    `level` of the interval over seeds."""
    models = (claim.model, other)
    trained = means[means["seed"].notna()].set_index("seed")
    by_seed = [dict(trained.loc[trained["model"] == one, "nmse_db"]) for one in models]
    score, other_score = (means.loc[means["model"] == one, "nmse_db"].mean() for one in models)
    difference, low, high = (found[key] for key in ("difference_db", "low_db", "high_db"))
    over_seeds = difference_over_seeds(by_seed[0], by_seed[1], level)
    assumed = max(MARGIN_OF_ONE_SEED_DB, *(spread(values.values()) for values in by_seed))
    return {
        "other": other,
        "score": score,
        "other_score": other_score,
        "difference": difference,
        "low": low,
        "high": high,
        "seeds": len(by_seed[0]) or None,
        "other_seeds": len(by_seed[1]) or None,
        "spread": over_seeds and over_seeds.spread,
        "holds": verdict(difference, low, high, claim.ahead_db, over_seeds.margin if over_seeds else assumed),
    }


def _task_row(claim: TaskClaim, evidence: Evidence) -> dict[str, Any]:
    task = evidence.tasks[claim.task]
    samples = evidence.task_samples
    samples = samples[
        (samples["question"] == claim.task) & at_fraction(samples["label_fraction"], claim.label_fraction)
    ]
    found = resampled_scores(task, samples, [claim.model, *claim.others], evidence.bootstrap)
    sign = -1 if task.higher_is_better else 1
    comparisons = [_task_comparison(claim, other, sign, found, evidence.bootstrap) for other in claim.others]
    return _hardest(comparisons, sign) | {
        "question": claim.task,
        "label_fraction": claim.label_fraction,
        "metric": task.metric,
    }


def _task_comparison(
    claim: TaskClaim, other: str, sign: int, found: Mapping[str, pandas.DataFrame], bootstrap: Bootstrap
) -> dict[str, Any]:
    """What was measured of the model and one other; `sign` is -1 of scores that should be high."""
    model_scores, other_scores = found[claim.model], found[other]
    drawn = model_scores.mean(axis=1) - other_scores.mean(axis=1)
    difference = float(drawn.iloc[0])
    low, high = (float(value) for value in np.quantile(drawn[1:], tails(bootstrap)))
    over_seeds = difference_over_seeds(dict(model_scores.iloc[0]), dict(other_scores.iloc[0]), bootstrap.level)
    best, worst = sorted((sign * low, sign * high))
    holds = verdict(
        sign * difference,
        best,
        worst,
        claim.ahead,
        # Units differ from task to task: of one seed nothing is known.
        over_seeds.margin if over_seeds else math.inf,
    )
    return {
        "other": other,
        "score": model_scores.iloc[0].mean(),
        "other_score": other_scores.iloc[0].mean(),
        "difference": difference,
        "low": low,
        "high": high,
        "seeds": model_scores.shape[1],
        "other_seeds": other_scores.shape[1],
        "spread": over_seeds and over_seeds.spread,
        "holds": holds,
    }


def _hardest(comparisons: Iterable[dict[str, Any]], sign: int = 1) -> dict[str, Any]:
    """The comparison by which the claim stands or falls.

    Who is ahead of several is ahead of each. "yes" needs "yes" against all of them, for which no correction for their
    number is due (the intersection-union test of Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling",
    Technometrics 24, 1982); one "no" is enough for "no", which chance alone makes likelier the more others there are.

    Args:
        comparisons: of the model with each of the others.
        sign: makes their differences those of errors.
    """
    weight = {"yes": 0, "undecided": 1, "no": 2}
    return max(comparisons, key=lambda one: (weight[one["holds"]], sign * one["difference"]))


def verdict(difference: float, low: float, high: float, ahead: float, margin: float) -> Verdict:
    """Whether a model is ahead of another by at least `ahead`.

    "yes" and "no" where both intervals say so as a whole, that over test trajectories and that over seeds. Everything
    else is "undecided".

    Args:
        difference: of the model from the other, below 0 where it is better.
        low, high: interval of the difference over test trajectories.
        ahead: what is claimed.
        margin: half the width of its interval over seeds, about the difference.
    """
    limit = -ahead
    if math.isclose(difference, limit, abs_tol=margin) and margin > 0:
        return "undecided"
    if high < limit:
        return "yes"
    return "no" if low > limit else "undecided"
