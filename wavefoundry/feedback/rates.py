"""How many bits the feedback of one slot has: one scale of rates for every codec and every size of channel."""

from typing import Annotated

from pydantic import Field

from wavefoundry.errors import InputError
from wavefoundry.facts import Facts

# Channel entries, pairs of antenna and subcarrier, that a rate counts bits for: those of one patch of WiFo-CF.
ENTRIES = 16
LOWEST, HIGHEST = 1, 12

Rate = Annotated[int, Field(ge=LOWEST, le=HIGHEST)]


def feedback_bits(rate: int, antennas: int, subcarriers: int) -> int:
    """Bits of the feedback of one slot: rate x antennas x subcarriers / 16, rounded down.

    Raises:
        InputError: a rate outside 1 ... 12, or a channel of less than 16 entries.
    """
    if not LOWEST <= rate <= HIGHEST:
        raise InputError(f"{rate} bits for {ENTRIES} channel entries; allowed: {LOWEST} to {HIGHEST}")
    if antennas * subcarriers < ENTRIES:
        raise InputError(_too_small(antennas, subcarriers))
    return rate * antennas * subcarriers // ENTRIES


def why_no_feedback(facts: Facts) -> str | None:
    """Why no codec can feed back slots of a data set; None if some can."""
    return _too_small(facts.antennas, facts.subcarriers) if facts.antennas * facts.subcarriers < ENTRIES else None


def _too_small(antennas: int, subcarriers: int) -> str:
    return f"a channel of {antennas} antennas x {subcarriers} subcarriers has less than the {ENTRIES} entries of a rate"
