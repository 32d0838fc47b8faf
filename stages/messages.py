"""One short line for each fault that pydantic finds in params.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

# Characters of a value that a message quotes.
LONGEST_VALUE = 80
# Keys whose values tell kinds of entries apart, which pydantic puts between the keys that it names.
KINDS = ("family", "kind", "method", "task")


def describe(location: Sequence[str | int], fault: Mapping[str, Any]) -> str:
    """The key, what was found and what is allowed.

    Args:
        location: keys that lead to the fault.
        fault: one of `ValidationError.errors()`.
    """
    key = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if fault["type"] == "missing":
        return f"{key}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "union_tag_invalid":
        context = fault["ctx"]
        tag = context["discriminator"].strip("'")
        return f"{key}.{tag}: found {shortened(context['tag'])}, allowed: {context['expected_tags']}".replace("'", "")
    if fault["type"] == "union_tag_not_found":
        return f"{key}.{fault['ctx']['discriminator'].strip(chr(39))}: missing"
    if isinstance(fault["input"], Mapping):
        return f"{key}: {message}" if key else message
    return f"{key}: found {shortened(repr(fault['input']))}, {message[0].lower()}{message[1:]}"


def shortened(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


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
