"""What the papers claim, set against what was measured here, whoever wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from wavefoundry.evaluation.over_seeds import spread

# "over 98 % of the teacher's performance" is read as at most so much lost [dB].
KEPT_DB = 0.1


@dataclass(frozen=True)
class Claim:
    """One comparison: the claim, the figures measured, and whether they bear it out."""

    claim: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Trained:
    """What the claims need to know of a trained predictor.

    parameters: number of trained values.
    teacher: of a student.
    objective: name of what a student learns by; None of one that learns alone, and of what is no student.
    options: of its family, to find two students that differ in the objective alone.
    """

    name: str
    parameters: int
    teacher: str | None
    objective: str | None
    options: Any


def check_claims(means: pandas.DataFrame, trained: Sequence[Trained], methods: Sequence[str]) -> list[Claim]:
    """Compare the test NMSE of the predictors with the claims that a study can test.

    Args:
        means: columns model, question, seed, nmse_db: over the data sets that are compared.
        trained: the predictors that were trained.
        methods: names of the predictors without training.

    Returns:
        for every question: each network against each method; each student against its teacher; each student against
        one that differs from it in learning alone.
    """
    by_model = {
        (model, question): list(rows["nmse_db"])
        for (model, question), rows in means.groupby(["model", "question"], sort=False)
    }
    claims = []
    for question in dict.fromkeys(question for _, question in by_model):
        at = {model: values for (model, asked), values in by_model.items() if asked == question}
        networks = [one for one in trained if one.name in at]
        claims += [_beats(question, at, one.name, method) for method in methods if method in at for one in networks]
        claims += [_keeps(question, at, one, networks) for one in networks if one.objective and one.teacher in at]
        claims += [
            _gains(question, at, one, alone)
            for one in networks
            for alone in networks
            if one.objective and not alone.objective and (alone.teacher, alone.options) == (one.teacher, one.options)
        ]
    return claims


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _beats(question: str, at: Mapping[str, Sequence[float]], name: str, method: str) -> Claim:
    ours, theirs = _mean(at[name]), _mean(at[method])
    return Claim(
        f"{question}: {name} predicts better than {method.replace('_', ' ')}",
        f"{ours:.2f} dB against {theirs:.2f} dB",
        ours < theirs,
    )


def _keeps(question: str, at: Mapping[str, Sequence[float]], one: Trained, networks: Sequence[Trained]) -> Claim:
    teacher = next(other for other in networks if other.name == one.teacher)
    student_db, teacher_db = _mean(at[one.name]), _mean(at[teacher.name])
    return Claim(
        f"{question}: the distilled {one.name} keeps the performance of its teacher {teacher.name} (the letter on "
        f"Tiny-WiFo: over 98 %, read here as at most {KEPT_DB} dB lost)",
        f"{student_db:.2f} dB with {one.parameters / teacher.parameters:.0%} of the parameters, {teacher.name} "
        f"{teacher_db:.2f} dB",
        student_db <= teacher_db + KEPT_DB,
    )


def _gains(question: str, at: Mapping[str, Sequence[float]], one: Trained, alone: Trained) -> Claim:
    gain = _mean(at[alone.name]) - _mean(at[one.name])
    widest = max(spread(at[one.name]), spread(at[alone.name]))
    verdict = "more than" if abs(gain) > widest else "within"
    return Claim(
        f"{question}: {one.objective} makes {one.name} better than the same student alone ({alone.name})",
        f"gain {gain:+.2f} dB, {verdict} the spread over seeds of {widest:.2f} dB",
        gain > widest,
    )
