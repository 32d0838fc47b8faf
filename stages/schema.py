"""params.yaml as a whole: its content, what follows from it, and that its parts fit together."""

from typing import Self

from pydantic import model_validator

from stages.checks import check
from stages.derived import Derived


class Params(Derived):
    """The content of params.yaml, whose parts fit together."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check(self)
        return self
