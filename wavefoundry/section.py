"""What all typed parameter sections share: a strict base class and the types of their values.

Light on purpose (pydantic only): a stage validates its parameters before it imports torch or sionna.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]  # a part that leaves something over
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
# A range [smallest, largest], both ends included.
NonNegativeRange = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]


def require_distinct(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("values must be distinct")
    return values


# One model is trained per seed.
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(require_distinct)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are refused, values never change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def require_ordered(name: str, values: Sequence[float]) -> None:
    if values[0] > values[1]:
        raise ValueError(f"{name} {values} must be [smallest, largest]")


def require_whole_heads(heads_name: str, heads: int, width_name: str, width: int) -> None:
    """Refuse a number of attention heads that does not divide the width of the network."""
    if width % heads:
        raise ValueError(f"{heads_name} {heads} does not divide {width_name} {width}")
