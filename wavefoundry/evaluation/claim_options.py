"""Typed parameters of claims."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from wavefoundry.section import Section


class ClaimOptions(Section):
    """A sentence of a paper, and the comparison of NMSE that tests it."""

    source: Annotated[str, Field(min_length=1, description="short title and arXiv number; 'ours' for our own")]
    says: Annotated[str, Field(min_length=1, description="the sentence that is tested, with its figures")]
    question: str = Field(description="of evaluate.prediction.questions")
    model: str = Field(description="predictor that is said to be better, trained or not")
    others: Annotated[list[str], Field(min_length=1)] = Field(
        description="predictors that it is set against: the one of them that is best on the validation split"
    )
    datasets: Annotated[list[str], Field(min_length=1)] | None = Field(
        description="the mean is taken over these; null: over those on which everybody is compared"
    )
    ahead_db: float = Field(description="the claim: better by at least so much; below 0: worse by no more")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model in self.others:
            raise ValueError(f"others: {self.model!r} is the model itself")
        return self
