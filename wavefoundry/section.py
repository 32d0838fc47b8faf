"""What all typed parameter sections share: a strict base class and the types of their values.

Light on purpose (pydantic only): a stage validates its parameters before it imports torch or sionna.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

# Largest and smallest size of a number in any unit of this project, from seconds to hertz.
LARGEST, SMALLEST = 1e12, 1e-15
LARGEST_COUNT = 10**9
# What generators of random numbers take.
LARGEST_INTEGER = 2**32 - 1
# Of keys that end in _db: ten to the tenth of it is still a number of single precision.
DECIBELS = 300.0
LONGEST_TEXT = 250

Fraction = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]  # a part that leaves something over
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=SMALLEST, le=LARGEST)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
Coordinate = Annotated[float, Field(ge=-1e8, le=1e8)]
Vector = Annotated[list[Coordinate], Field(min_length=3, max_length=3)]
# A range [smallest, largest], both ends included.
NonNegativeRange = Annotated[list[Annotated[float, Field(ge=0, le=1e6)]], Field(min_length=2, max_length=2)]


Value = TypeVar("Value")


def require_distinct(values: list[Value]) -> list[Value]:
    if len(set(values)) < len(values):
        raise ValueError("values must be distinct")
    return values


# One model is trained per seed.
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(require_distinct)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are refused, values never change after reading.

    Every number is finite and within bounds, whatever type a field has.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, str_max_length=LONGEST_TEXT
    )

    @field_validator("*", mode="after")
    @classmethod
    def _bounded(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int | float | list | dict):
            _require_bounded(value, DECIBELS if str(info.field_name).endswith("_db") else LARGEST)
        return value


def _require_bounded(value: Any, largest: float) -> None:
    """Refuse numbers that are larger than all that makes sense, in lists and mappings too."""
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _require_bounded(item, largest)
    elif isinstance(value, int | float):
        limit = min(largest, LARGEST_INTEGER) if isinstance(value, int) else largest
        if not abs(value) <= limit:  # what is no number is refused, too
            raise ValueError(f"numbers must lie between {-limit:g} and {limit:g}")


def require_ordered(name: str, values: Sequence[float]) -> None:
    if values[0] > values[1]:
        raise ValueError(f"{name} {values} must be [smallest, largest]")


def why_no_whole_heads(heads_name: str, heads: int, width_name: str, width: int) -> str | None:
    """Why so many attention heads cannot share a width; None if they can."""
    return f"{heads_name} {heads} does not divide {width_name} {width}" if width % heads else None


def require_whole_heads(heads_name: str, heads: int, width_name: str, width: int) -> None:
    """Refuse a number of attention heads that does not divide the width of the network."""
    if reason := why_no_whole_heads(heads_name, heads, width_name, width):
        raise ValueError(reason)
