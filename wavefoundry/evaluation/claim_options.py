"""Typed parameters of claims: sentences, and the comparisons that test them."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from wavefoundry.feedback.rates import Rate
from wavefoundry.section import Fraction, Section, require_distinct

# The kinds of claims, which are told apart by their keys; in brackets, for no key of them is meant.
ABOUT_PREDICTION, ABOUT_FEEDBACK, ABOUT_TASK = "[prediction]", "[feedback]", "[task]"


class Claim(Section):
    """A sentence of a paper, and who is set against whom."""

    source: Annotated[str, Field(min_length=1, description="short title and arXiv number; 'ours' for our own")]
    says: Annotated[str, Field(min_length=1, description="the sentence that is tested, with its figures")]
    model: str = Field(description="what is said to be better")
    others: Annotated[list[str], Field(min_length=1), AfterValidator(require_distinct)] = Field(
        description="what it is set against: it has to be ahead of each of them"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model in self.others:
            raise ValueError(f"others: {self.model!r} is the model itself")
        return self


class NmseClaim(Claim):
    """A comparison of NMSE."""

    datasets: Annotated[list[str], Field(min_length=1), AfterValidator(require_distinct)] | None = Field(
        description="the mean is taken over these; null: over those on which everybody is compared"
    )
    ahead_db: float = Field(description="the claim: better by at least so much; below 0: worse by no more")


class PredictionClaim(NmseClaim):
    """A comparison of predictions. `model` and `others` are predictors, trained or not."""

    question: str = Field(description="of evaluate.prediction.questions")


class FeedbackClaim(NmseClaim):
    """A comparison of channel feedback. `model` and `others` are codecs."""

    bits: Rate = Field(description="of evaluate.feedback.rates, for every 16 channel entries")


class TaskClaim(Claim):
    """A comparison of the deciding score of a downstream task.

    `model` and `others` are networks, NAME_untrained, the raw channel ("raw"), or the best linear estimate from all of
    it ("raw_lmmse").
    """

    task: str = Field(description="of evaluate.downstream.tasks")
    label_fraction: Fraction = Field(description="of evaluate.downstream.label_fractions")
    ahead: float = Field(description="the claim: better by at least so much, in the unit of the task's score")


def _kind(content: Any) -> str:
    """A claim that says a task is about this task, one that says bits about channel feedback."""
    for kind, key, tag in ((TaskClaim, "task", ABOUT_TASK), (FeedbackClaim, "bits", ABOUT_FEEDBACK)):
        if isinstance(content, kind) or (isinstance(content, Mapping) and key in content):
            return tag
    return ABOUT_PREDICTION


ClaimOptions = Annotated[
    Annotated[PredictionClaim, Tag(ABOUT_PREDICTION)]
    | Annotated[FeedbackClaim, Tag(ABOUT_FEEDBACK)]
    | Annotated[TaskClaim, Tag(ABOUT_TASK)],
    Discriminator(_kind),
]
