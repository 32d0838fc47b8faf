"""Typed parameters of tables in the layout of a paper."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wavefoundry.section import Section

Heading = Annotated[str, Field(min_length=1)]
Cost = Literal["parameters", "latency_ms", "training_seconds", "teacher_passes_saved"]


class Published(Section):
    """Figures of a paper in the layout of the table; columns may be others than those that are measured here."""

    source: Annotated[str, Field(min_length=1, description="where they are from, and whether they are told or deduced")]
    rows: Annotated[dict[Heading, dict[Heading, list[float]]], Field(min_length=1)] = Field(
        description="NMSE by row and column, one for each question [dB]"
    )


class TableOptions(Section):
    """NMSE of some predictors on groups of data sets, question by question in one cell, and what they cost."""

    title: Heading
    split: Literal["validation", "test"]
    columns: Annotated[dict[Heading, str], Field(min_length=1)] = Field(description="entries by heading")
    questions: Annotated[list[str], Field(min_length=1)] = Field(description="side by side in a cell")
    rows: dict[Heading, Annotated[list[str], Field(min_length=1)]] = Field(
        description="data sets by heading; the mean is taken over them"
    )
    costs: list[Cost] = Field(description="rows below")
    published: Published | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.rows and not self.costs:
            raise ValueError("rows and costs are both empty; at least one row is needed")
        for row, cells in (self.published.rows if self.published else {}).items():
            if row not in self.rows:
                raise ValueError(f"published.rows: {row!r} is no row, allowed: {', '.join(self.rows) or 'none'}")
            for column, values in cells.items():
                if len(values) != len(self.questions):
                    raise ValueError(
                        f"published.rows.{row}.{column}: found {len(values)} values, allowed: "
                        f"{len(self.questions)}, one for each question"
                    )
        return self
