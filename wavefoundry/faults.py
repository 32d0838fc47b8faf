"""Short lines for each fault that pydantic finds in options."""

from collections.abc import Mapping, Sequence
from typing import Any

# Characters of a value or a key that a message quotes.
LONGEST_VALUE = 80
# Characters of what a message says, without the key: what is allowed may be a list of many.
LONGEST_MESSAGE = 200
# Names of kinds that there are to choose from: our own, and worth telling in full.
LONGEST_CHOICE = 260
# Characters of all keys that lead to a fault.
LONGEST_KEY = 120


def describe(location: Sequence[str | int], fault: Mapping[str, Any]) -> str:
    """The key, what was found and what is allowed; one line, or one for each thing that stands in the way.

    Args:
        location: keys that lead to the fault.
        fault: one of `ValidationError.errors()`.
    """
    key = joined(location)
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if fault["type"] == "missing":
        return f"{key}: missing"
    told = fault["msg"].removeprefix("Value error, ")
    if not key and isinstance(fault["input"], Mapping):
        # What must hold between several keys is told with them, one thing a line.
        return "\n".join(shortened(line, LONGEST_MESSAGE + LONGEST_VALUE) for line in told.split("\n"))
    message = shortened(told, LONGEST_MESSAGE)
    if fault["type"] == "union_tag_invalid":
        context = fault["ctx"]
        tag = context["discriminator"].strip("'")
        allowed = shortened(context["expected_tags"], LONGEST_CHOICE)
        return f"{key}.{tag}: found {shortened(str(context['tag']))}, allowed: {allowed}".replace("'", "")
    if fault["type"] == "union_tag_not_found":
        return f"{key}.{fault['ctx']['discriminator'].strip(chr(39))}: missing"
    if fault["type"] == "literal_error":
        allowed = shortened(fault["ctx"]["expected"], LONGEST_CHOICE)
        return f"{key}: found {shortened(repr(fault['input']))}, allowed: {allowed}"
    if isinstance(fault["input"], Mapping):
        return f"{key}: {message}"
    return f"{key}: found {shortened(repr(fault['input']))}, {message[0].lower()}{message[1:]}"


def joined(location: Sequence[str | int]) -> str:
    """The keys that lead somewhere, as one text: a.b.0.c."""
    return shortened(".".join(shortened(str(part)) for part in location), LONGEST_KEY)


def shortened(text: str, longest: int = LONGEST_VALUE) -> str:
    """The beginning of a long text, in one line."""
    text = text if text.isprintable() else text.encode("unicode_escape", "backslashreplace").decode()
    return text if len(text) <= longest else f"{text[:longest]}..."
