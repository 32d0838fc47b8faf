"""What a downstream task reaches without a head, which every verdict about heads is set against."""

from dataclasses import dataclass

from wavefoundry.evaluation.downstream.parts import REFERENCE
from wavefoundry.evaluation.downstream.scores import ScoreTable


@dataclass(frozen=True)
class WithoutHead:
    """The best answer that nobody has to learn.

    answer: in words.
    score: on the test split, in the unit of the metric.
    """

    answer: str
    score: float


def without_head(scores: ScoreTable, task: str, metric: str) -> WithoutHead | None:
    """The answer to a task that needs no head; None where it was not scored.

    Args:
        scores: of all inputs.
        task: entry of the task.
        metric: the score that is asked for.
    """
    found = scores.pick(question=task, part=REFERENCE, metric=metric, split="test")
    if found.empty:
        return None
    row = found.iloc[0]
    return WithoutHead(str(row["representation"]), float(row["values"][0]))
