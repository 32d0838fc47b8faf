"""What lies in the structs and cells of a MATLAB v5 file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wavefoundry.errors import InputError
from wavefoundry.imports.limits import sizes


def within(path: Path, variable: str, values: np.ndarray, places: Sequence[str]) -> np.ndarray:
    """Follow names of fields, and numbers of cells or of structs in an array, down to an array of numbers.

    Args:
        path: the file, for messages.
        variable: the whole name, for messages.
        values: what the first part of the name stands for, as scipy reads it.
        places: the other parts; cells and structs of an array are counted from 1, down the columns as in MATLAB.

    Raises:
        InputError: a field or cell is not there, or what the name ends at is a struct or cell array.
    """
    name = f"{path}: {variable!r}"
    for place in places:
        fields = values.dtype.names
        if fields and place in fields and values.size == 1:
            values = np.asarray(values[place].flat[0])
        elif (fields or values.dtype.hasobject) and place.isdecimal() and 1 <= int(place) <= values.size:
            chosen = values.ravel(order="F")[int(place) - 1 : int(place)]
            values = chosen if fields else np.asarray(chosen[0])
        else:
            raise InputError(f"{name}: {place!r} is not there; {_held(values)}")
    if values.dtype.hasobject or values.dtype.names:
        raise InputError(f"{name}, expected real or complex numbers: {_held(values)}, named as {variable}/NAME")
    return values


def _held(values: np.ndarray) -> str:
    """What there is to choose from."""
    if values.dtype.names and values.size == 1:
        return f"a struct holds {', '.join(values.dtype.names)}"
    if values.dtype.names or values.dtype.hasobject:
        what = "structs" if values.dtype.names else "cells"
        return f"{what} of {sizes(values.shape)} are numbered 1 to {values.size}"
    return f"an array of {values.dtype} holds no others"
