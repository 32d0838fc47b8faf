"""One short line for each fault that pydantic finds in options."""

from collections.abc import Mapping, Sequence
from typing import Any

# Characters of a value that a message quotes.
LONGEST_VALUE = 80


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
