"""The report's first section: what came out, in sentences made of the tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from wavefoundry.evaluation.claim_options import ClaimOptions, TaskClaim
from wavefoundry.evaluation.claims import question
from wavefoundry.evaluation.downstream.options import RAW, Downstream
from wavefoundry.evaluation.downstream.parts import CURVE
from wavefoundry.evaluation.downstream.reference import without_head
from wavefoundry.evaluation.downstream.scores import ScoreTable
from wavefoundry.evaluation.downstream.task import DownstreamTask, tasks_of
from wavefoundry.evaluation.downstream.wording import digits, heading, in_words, unit_of
from wavefoundry.evaluation.feedback_options import Feedback
from wavefoundry.evaluation.feedback_summary import feedback_means
from wavefoundry.evaluation.metrics import to_db
from wavefoundry.evaluation.summary import mean_nmse_db

# In the order in which they are told.
VERDICTS = {"yes": "holds", "no": "does not hold", "undecided": "undecided"}


def prediction_findings(
    table: pandas.DataFrame,
    differences: pandas.DataFrame,
    best: Mapping[str, str],
    datasets: Mapping[str, Sequence[str]],
) -> list[str]:
    """A sentence for each question: who has the lowest error, and how far the best without training is from it.

    Args:
        table: of results.
        differences: as `wavefoundry.evaluation.paired.DIFFERENCE_COLUMNS`.
        best: by question, see `wavefoundry.evaluation.summary.best_methods`.
        datasets: by question, the means are taken over these.
    """
    means = mean_nmse_db(table, datasets, "test").groupby(["question", "model"], sort=False)["nmse_db"].mean()
    found = []
    for asked in means.index.unique("question"):
        winner, error = str(means[asked].idxmin()), means[asked].min()
        told = f"Prediction, {asked}: {winner} has the lowest NMSE, {error:.2f} dB"
        other = best.get(asked)
        if other == winner:
            told += ", and needs no training"
            followers = means[asked].drop(winner)
            if len(followers):
                told += f"; {followers.idxmin()} comes next with {followers.min():.2f} dB"
        elif other is not None:
            told += "; " + _distance(differences, asked, winner, other)
        found.append(f"{told}.")
    return found


def _distance(differences: pandas.DataFrame, asked: str, winner: str, other: str) -> str:
    """How far a predictor is ahead of the best without training, and whether that may be chance."""
    of_question = differences[differences["question"] == asked]
    row = of_question[(of_question["model"] == winner) & (of_question["other"] == other)].iloc[0]
    told = f"the difference from {other}, the best without training, is {row['difference_db']:+.2f} dB "
    told += f"[{row['low_db']:+.2f}, {row['high_db']:+.2f}]"
    return told if row["high_db"] < 0 else f"{told}, so that it is not sure who is ahead"


def task_findings(table: pandas.DataFrame, section: Downstream) -> list[str]:
    """A sentence for each downstream task: which input a head reads best, and what is reached without a head.

    Args:
        table: of results.
        section: parameters of the tasks.
    """
    scores = ScoreTable(table)
    sentences = (_task_finding(scores, name, task, section) for name, task in tasks_of(section).items())
    return [sentence for sentence in sentences if sentence is not None]


def _task_finding(scores: ScoreTable, name: str, task: DownstreamTask, section: Downstream) -> str | None:
    fraction = section.choice_fraction
    where = {"question": name, "part": CURVE, "label_fraction": fraction, "metric": task.metric, "split": "test"}
    found = {row["model"]: statistics.mean(row["values"]) for _, row in scores.pick(**where).iterrows()}
    if not found:
        return None
    best = sorted(found, key=lambda model: found[model], reverse=task.higher_is_better)[0]
    words = in_words(task.metric).partition(" [")[0]
    told = f"{heading(task)}, {fraction:.0%} of the labels: the best input of a head is {best}, {words} "
    told += _score(task.metric, found[best])
    if RAW in found and best != RAW:
        told += f"; the raw channel gives {_score(task.metric, found[RAW])}"
    reference = without_head(scores, name, task.metric)
    if reference is not None:
        told += f"; without a head {_score(task.metric, reference.score)} ({reference.answer})"
        told += "" if task.better(found[best], reference.score) else ", which no head surpasses"
    return f"{told}."


def _score(metric: str, value: float) -> str:
    return f"{value:.{digits(metric)}f} {unit_of(metric)}".rstrip()


def feedback_findings(table: pandas.DataFrame, section: Feedback, datasets: Sequence[str]) -> list[str]:
    """A sentence for each rate: which codec lets the base station recover the channel best; none without codecs.

    Args:
        table: of results.
        section: parameters of the evaluation.
        datasets: over which the means are taken.
    """
    means = feedback_means(table, datasets, "test")
    means = means[means["metric"] == "nmse"]
    found = []
    for rate in section.rates:
        errors = means[means["rate"] == rate].groupby("model", sort=False)["value"]
        by_model = errors.agg(lambda values: statistics.mean(to_db(value) for value in values))
        if len(by_model):
            told = f"{by_model.idxmin()} has the lowest NMSE, {by_model.min():.2f} dB"
            found.append(f"Channel feedback, {rate} bits for 16 channel entries: {told}.")
    return found


def claim_findings(
    claims: Mapping[str, ClaimOptions],
    judged: pandas.DataFrame,
    table: pandas.DataFrame,
    tasks: Mapping[str, DownstreamTask],
) -> tuple[str, list[str]]:
    """How many claims hold, and a sentence for each that somebody made, with the verdicts on all that it was tested on.

    Args:
        claims: by name.
        judged: as `wavefoundry.evaluation.claims.CLAIM_COLUMNS`.
        table: of results; it has what downstream tasks reach without a head.
        tasks: by the names of their entries.

    Returns:
        the count, and the sentences; "" and none where there is no claim.
    """
    if judged.empty:
        return "", []
    number = judged["holds"].value_counts()
    count = f"Of {len(judged)} claims tested, {number.get('yes', 0)} hold, {number.get('no', 0)} do not, and "
    count += f"{number.get('undecided', 0)} are undecided."
    scores = ScoreTable(table)
    made: dict[tuple[str, str], list[Any]] = {}
    for row in judged.itertuples():
        claim = claims[str(row.claim)]
        made.setdefault((claim.source, claim.says), []).append(row)
    sentences = []
    for (source, says), rows in made.items():
        told = [f"{says[:1].upper()}{says[1:]} ({source})."]
        for model in dict.fromkeys(row.model for row in rows):
            told.append(f"{model}: {_verdicts(claims, [row for row in rows if row.model == model])}.")
        sentences.append(" ".join([*told, *_behind_no_head(claims, rows, scores, tasks)]))
    return count, sentences


def _verdicts(claims: Mapping[str, ClaimOptions], rows: Sequence[Any]) -> str:
    """The verdicts on one sentence about one model, such as "holds in los; does not hold in estimation"."""
    parts = []
    for verdict, words in VERDICTS.items():
        tested = [_tested(claims[str(row.claim)]) for row in rows if row.holds == verdict]
        if tested:
            parts.append(f"{words} in {', '.join(tested)}")
    return "; ".join(parts)


def _tested(claim: ClaimOptions) -> str:
    """What a claim was tested on."""
    if isinstance(claim, TaskClaim):
        return claim.task
    return question(claim) + (f" about {' and '.join(claim.datasets)}" if claim.datasets is not None else "")


def _behind_no_head(
    claims: Mapping[str, ClaimOptions],
    rows: Sequence[Any],
    scores: ScoreTable,
    tasks: Mapping[str, DownstreamTask],
) -> list[str]:
    """A sentence for each task in which models do not surpass the answer that needs no head."""
    behind: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        claim = claims[str(row.claim)]
        if not isinstance(claim, TaskClaim):
            continue
        reference = without_head(scores, claim.task, row.metric)
        if reference is not None and not tasks[claim.task].better(row.score, reference.score):
            behind.setdefault((claim.task, reference.answer), []).append(row.model)
    return [
        f"In {task}, {' and '.join(models)} {'do' if len(models) > 1 else 'does'} not surpass what needs no head: "
        f"{answer}."
        for (task, answer), models in behind.items()
    ]
