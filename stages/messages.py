"""Where in params.yaml the faults are that pydantic finds."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from wavefoundry.evaluation.claim_options import ABOUT_PREDICTION, ABOUT_TASK

# Keys whose values tell kinds of entries apart, which pydantic puts between the keys that it names.
KINDS = ("family", "kind", "method", "task")


def keys_of(location: Sequence[str | int], content: Any) -> list[str | int]:
    """A location without the kinds of entries that pydantic has put into it.

    Args:
        location: of a fault.
        content: what was validated.
    """
    keys: list[str | int] = []
    for part in location:
        if part in ("[key]", ABOUT_PREDICTION, ABOUT_TASK):
            continue
        if isinstance(content, Mapping) and part not in content and _is_kind(part, content, keys):
            continue
        keys.append(part)
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            content = None
        # An entry that says nothing is one of the kind of its own name.
        content = {} if content is None else content
    return keys


def meant(keys: Sequence[str | int], kind: str, missing: Sequence[Sequence[str | int]]) -> str:
    """What a message on an unknown key says besides: the key beside it that is missing and has nearly its name.

    Args:
        keys: that lead to a fault.
        kind: of the fault, as pydantic names it.
        missing: keys that lead to each key that is missing.
    """
    if kind != "extra_forbidden":
        return ""
    beside = [str(other[-1]) for other in missing if other and other[:-1] == keys[:-1]]
    close = get_close_matches(str(keys[-1]), beside, n=1)
    return f"; {close[0]} is missing there, is that meant?" if close else ""


def _is_kind(part: str | int, entry: Mapping, keys: Sequence[str | int]) -> bool:
    """Whether a part of a location is the kind of an entry, which may be the entry's own name."""
    stated = [entry[key] for key in KINDS if key in entry]
    return part in stated or (not stated and bool(keys) and part == keys[-1])
