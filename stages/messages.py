"""Where in params.yaml the faults are that pydantic finds."""

from collections.abc import Mapping, Sequence
from typing import Any

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
        if part == "[key]":
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


def _is_kind(part: str | int, entry: Mapping, keys: Sequence[str | int]) -> bool:
    """Whether a part of a location is the kind of an entry, which may be the entry's own name."""
    stated = [entry[key] for key in KINDS if key in entry]
    return part in stated or (not stated and bool(keys) and part == keys[-1])
