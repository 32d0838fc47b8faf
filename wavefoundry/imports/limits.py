"""What a file may claim of itself: sizes that what is stored can fill, and faults told in one line."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from wavefoundry.errors import InputError

# An array up to this size may be packed as tightly as it likes [bytes].
PLENTY = 2**28
# A larger one may have so many times the bytes that are stored of it: CSI hardly packs, padded paths by some ten.
MOST_TIMES = 100
# Of a library's own words, so many characters are quoted.
QUOTED = 200


def require_filled(name: str, shape: Sequence[int], item_bytes: int, stored_bytes: int) -> None:
    """Refuse an array that claims far more than the file holds of it.

    Args:
        name: file and variable, for messages.
        shape: that the file claims.
        item_bytes: of one number in memory.
        stored_bytes: that the file has of the array, packed or not.

    Raises:
        InputError: a size is negative, or the array is larger than PLENTY and MOST_TIMES what is stored.
    """
    needed = math.prod(shape) * item_bytes
    if min(shape, default=0) < 0 or needed > max(PLENTY, MOST_TIMES * stored_bytes):
        raise InputError(
            f"{name} claims {sizes(shape)} numbers, {needed} bytes, of which {stored_bytes} bytes are stored; "
            f"allowed: {MOST_TIMES} times what is stored, or {PLENTY} bytes"
        )


def require_memory(name: str, shape: Sequence[int], item_bytes: int) -> None:
    """Refuse an array that must be read whole and is larger than the free memory.

    Raises:
        InputError: it is.
    """
    needed, free = math.prod(shape) * item_bytes, psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{name} has {sizes(shape)} numbers, {needed} bytes, and is read whole; {free} bytes of memory are free "
            "(zarr and MATLAB v7.3 are read in parts)"
        )


def sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Tell whatever a library makes of a damaged file as one line that begins with `what`.

    Raises:
        InputError: in place of any other exception.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        raise InputError(f"{what}: {words[:QUOTED] or type(error).__name__}") from None
