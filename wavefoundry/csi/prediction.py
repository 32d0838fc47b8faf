"""What every predictor is asked for, checked in one way."""

from wavefoundry.errors import InputError


def require_extent(slots: int, subcarriers: int) -> None:
    """Refuse a prediction of nothing.

    Args:
        slots: slots after the known ones that are asked for; 0: the known ones.
        subcarriers: subcarriers above the known ones that are asked for; 0: the known ones.

    Raises:
        InputError: a number is negative, or both are 0.
    """
    if slots < 0 or subcarriers < 0 or slots + subcarriers < 1:
        raise InputError(
            f"slots is {slots} and subcarriers is {subcarriers}; allowed: whole numbers from 0, one of them at least 1"
        )
