"""What the papers claim, set against what was measured here, whoever wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas

from wavefoundry.evaluation.over_seeds import spread

# "over 98 % of the teacher's performance" is read as at most so much lost [dB].
KEPT_DB = 0.1


Verdict = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Claim:
    """One comparison: the claim, the figures measured, and whether they bear it out: "yes" or "no" where the whole
    interval of the difference does, "undecided" where it lies on both sides."""

    claim: str
    measured: str
    holds: Verdict


@dataclass(frozen=True)
class Difference:
    """Of the NMSE of one predictor from that of another, below 0 where it is better, and its interval [dB]."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} dB [{self.low:+.2f}, {self.high:+.2f}]"

    def below(self, limit: float) -> Verdict:
        """Whether the difference is less than so much."""
        if self.high < limit:
            return "yes"
        return "no" if self.low > limit else "undecided"


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


def pairs_to_compare(trained: Sequence[Trained], methods: Sequence[str]) -> list[tuple[str, str]]:
    """(model, other) of every claim: each network with each method, each student with its teacher and with those like
    it that learn alone."""
    networks = {one.name for one in trained}
    return [
        *((one.name, method) for method in methods for one in trained),
        *((one.name, one.teacher) for one in trained if one.objective and one.teacher in networks),
        *((one.name, alone.name) for one in trained for alone in trained if _differ_in_learning_alone(one, alone)),
    ]


def check_claims(
    means: pandas.DataFrame, differences: pandas.DataFrame, trained: Sequence[Trained], methods: Sequence[str]
) -> list[Claim]:
    """Compare the test NMSE of the predictors with the claims that a study can test.

    Args:
        means: columns model, question, seed, nmse_db: over the data sets that are compared.
        differences: of the pairs that `pairs_to_compare` names, as `wavefoundry.evaluation.paired` gives them.
        trained: the predictors that were trained.
        methods: names of the predictors without training.

    Returns:
        for every question: each network against each method; each student against its teacher; each student against
        one that differs from it in learning alone.
    """
    seeds = {
        (str(question), str(model)): list(rows["nmse_db"])
        for (model, question), rows in means.groupby(["model", "question"], sort=False)
    }
    found = {
        (row.question, row.model, row.other): Difference(row.difference_db, row.low_db, row.high_db)
        for row in differences[differences["other"].notna()].itertuples()
    }
    claims = []
    for question in dict.fromkeys(question for question, _ in seeds):
        at = {model: values for (asked, model), values in seeds.items() if asked == question}
        by_pair = {(model, other): value for (asked, model, other), value in found.items() if asked == question}
        networks = {one.name: one for one in trained if one.name in at}
        claims += [
            _beats(question, at, name, method, by_pair[name, method])
            for method in methods
            for name in networks
            if (name, method) in by_pair
        ]
        claims += [
            _keeps(question, at, one, networks[one.teacher], by_pair[one.name, one.teacher])
            for one in networks.values()
            if one.objective and one.teacher in networks and (one.name, one.teacher) in by_pair
        ]
        claims += [
            _gains(question, at, one, alone, by_pair[one.name, alone.name])
            for one in networks.values()
            for alone in networks.values()
            if _differ_in_learning_alone(one, alone) and (one.name, alone.name) in by_pair
        ]
    return claims


def _differ_in_learning_alone(one: Trained, alone: Trained) -> bool:
    same = (alone.teacher, alone.options) == (one.teacher, one.options)
    return bool(one.objective) and not alone.objective and same


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _beats(question: str, at: Mapping[str, Sequence[float]], name: str, method: str, difference: Difference) -> Claim:
    return Claim(
        f"{question}: {name} predicts better than {method.replace('_', ' ')}",
        f"{_mean(at[name]):.2f} dB against {_mean(at[method]):.2f} dB, difference {difference}",
        difference.below(0),
    )


def _keeps(
    question: str, at: Mapping[str, Sequence[float]], one: Trained, teacher: Trained, difference: Difference
) -> Claim:
    return Claim(
        f"{question}: the distilled {one.name} keeps the performance of its teacher {teacher.name} (the letter on "
        f"Tiny-WiFo: over 98 %, read here as at most {KEPT_DB} dB lost)",
        f"{_mean(at[one.name]):.2f} dB with {one.parameters / teacher.parameters:.0%} of the parameters, "
        f"{teacher.name} {_mean(at[teacher.name]):.2f} dB, difference {difference}",
        difference.below(KEPT_DB),
    )


def _gains(
    question: str, at: Mapping[str, Sequence[float]], one: Trained, alone: Trained, difference: Difference
) -> Claim:
    widest = max(spread(at[one.name]), spread(at[alone.name]))
    verdict = difference.below(0)
    # Users may agree where another draw of the weights would not.
    if verdict == "yes" and -difference.value <= widest:
        verdict = "undecided"
    return Claim(
        f"{question}: {one.objective} makes {one.name} better than the same student alone ({alone.name})",
        f"difference {difference}, spread over seeds {widest:.2f} dB",
        verdict,
    )
