"""Units of work, done one after the other or by many workers: who does them is not the business of the science."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol


class MapUnits(Protocol):
    """Does units of work."""

    def __call__(
        self, function: Callable[..., Any], arguments: Iterable[tuple], total: int | None = None
    ) -> Iterator[Any]:
        """Results of `function(*one)` for each of `arguments`, in their order.

        Args:
            function: one unit of work; it can be sent to another process.
            arguments: of every unit.
            total: how many units there are, where `arguments` are made one by one.
        """
