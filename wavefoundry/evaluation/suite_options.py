"""Typed parameters of suites: questions of prediction that are asked under other conditions."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from wavefoundry.csi.impairment_options import ImpairmentOptions
from wavefoundry.section import Count, Section

Condition = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
# Beside every impairment stands the same without one.
UNIMPAIRED = "unimpaired"


class SuiteOptions(Section):
    """Questions under some conditions: impairments of the known block or, where there are none, single data sets."""

    questions: Annotated[list[str], Field(min_length=1)]
    datasets: Annotated[list[str], Field(min_length=1)] | None = Field(
        description="that are asked about; null: those on which everybody is compared"
    )
    samples: Count | None = Field(description="test samples of each data set, at most, evenly spread; null: all")
    impairments: dict[Condition, Annotated[ImpairmentOptions, Field(discriminator="kind")]] = Field(
        description="of the known block; what is asked for stays clean"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, names in (("questions", self.questions), ("datasets", self.datasets or [])):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{key}: {twice!r} is there twice")
        if UNIMPAIRED in self.impairments:
            raise ValueError(f"impairments.{UNIMPAIRED}: the name stands for the known block without an impairment")
        return self

    def asked_about(self, datasets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """The data sets of each question.

        Args:
            datasets: by question, those on which everybody is compared: of a suite that names none.
        """
        return {question: list(self.datasets or datasets.get(question, ())) for question in self.questions}
