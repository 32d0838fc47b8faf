"""Damaged parameter files: accepted with a sane meaning, or refused in short lines that name the place."""

import json
import math
import random
import re

import pytest

from stages import params
from stages.schema import Params
from stages.yaml_files import read
from tests.parameters import FILE, tiny_parameters
from wavefoundry.errors import InputError

BATCHES, CASES = 10, 50
LONGEST_LINE = 300
TOP = {field.alias or name for name, field in Params.model_fields.items()}
# What is put in place of a value, as it stands in the file.
VALUES = [
    *(".nan", ".inf", "-.inf", "1e999", "1e300", "-1e300", "5e-324", "1e12", "1e-7", "1e-3", "-.5", "-0.0"),
    *("0", "-1", "1", "2", "3", "010", "1_000", "4294967295", "4294967296", "9223372036854775808", "-9" + "0" * 30),
    *("9" * 5000, "0x" + "f" * 60, "1000000", "1000000000", "0.5", "1.0", "0.333333", "true", "no", "null", "~", "''"),
    *("'1'", "x", "-", "'" + "x" * 100_000 + "'", '"a\\nb\\u2028\\0"', "munich", "uma_nlos", "wifo", "tiny_wifo"),
    *("[]", "{}", "[1, 2, 3]", "[0, 0]", "[.nan, 1]", "[2, 1]", "{a: 1}", "{a: 1, a: 2}", "{1: 2}", "[[], {}]"),
    *("[" * 2000, "[" * 40 + "]" * 40, "[" + "7, " * 20_000 + "7]", "!!int x", "!!float 1", "!!binary eA==", "!a 1"),
    *("&a 1", "*a", "{<<: {a: 1}}", "<<", "=", "2020-01-01", "12:30:45", "%", "@", "`", "? a", "- 1", "|\n  x", "\t"),
]

NOISE = ["\0", "\t", ":", "- ", "&x ", "*x", "{", "]", "'", "\n", "\ud800", "#"]


def places(content, keys=()):
    """The keys of every value, those within lists and whole sections too."""
    yield keys
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*keys, key))


def with_value(draw, text):
    """The study with the text `text` in place of one value."""
    content = tiny_parameters()
    *parents, last = draw.choice([keys for keys in places(content) if keys])
    section = content
    for key in parents:
        section = section[key]
    section[last] = "@"
    return json.dumps(content, indent=1).replace('"@"', text)


def with_key(draw):
    """The study without a key, with one twice, or with one that is spelt otherwise."""
    content = tiny_parameters()
    keys = draw.choice([keys for keys in places(content) if keys and isinstance(keys[-1], str)])
    section = content
    for key in keys[:-1]:
        section = section[key]
    value = section.pop(keys[-1])
    other = draw.choice([None, keys[-1], keys[-1] + "_", "x" * 5000, "a\nb", "", "é.[0]", "__class__"])
    if other is not None:
        section[other] = value
    return json.dumps(content, indent=1, ensure_ascii=False)


def with_noise(draw):
    """The file itself with bytes cut, doubled, or put in."""
    text = FILE.read_text()
    start = draw.randrange(len(text))
    end = min(len(text), start + draw.choice([1, 3, 80, 1000]))
    return draw.choice(
        [
            text[:start],
            text[:start] + text[end:],
            text[:end] + text[start:],
            text[:start] + draw.choice(NOISE) + text[start:],
            "\n".join(draw.sample(text.splitlines(), 40)),
        ]
    )  # fmt: skip


def numbers(content):
    if isinstance(content, dict | list | tuple):
        for value in content.values() if isinstance(content, dict) else content:
            yield from numbers(value)
    elif isinstance(content, int | float):
        yield content


def fault_of(text):
    """What is wrong with how a damaged file is dealt with; None if nothing."""
    try:
        accepted = params.parse(text, "params.yaml")
    except InputError as error:
        for line in str(error).split("\n"):
            told = line.removeprefix("params.yaml: ")
            named = re.match(r"line \d+: ", told) or re.split(r"[.: ,]", told)[0] in TOP or "unknown key" in told
            whole = told in ("found no mapping at the top", "not valid YAML: a character that UTF-8 does not have")
            if line == told or not (named or whole) or len(line) > LONGEST_LINE or not line.isprintable():
                return line
        return None
    content = accepted.model_dump(by_alias=True)
    if not all(math.isfinite(number) and abs(number) <= 1e12 for number in numbers(content)):
        return "accepted a number that is not finite or too large"
    return None if Params.model_validate(content) == accepted else "the accepted values do not round trip"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damage_is_accepted_with_a_meaning_or_refused_in_short_lines(batch):
    draw = random.Random(batch)
    kinds = [lambda: with_value(draw, draw.choice(VALUES))] * 3 + [lambda: with_key(draw), lambda: with_noise(draw)]
    for case in range(CASES):
        text = kinds[case % len(kinds)]()
        fault = fault_of(text)
        assert fault is None, f"case {case} of {batch}: {fault}"


@pytest.mark.parametrize("text", VALUES, ids=range(len(VALUES)))
def test_every_damage_is_met_at_a_number_of_a_list(text):
    content = json.dumps(tiny_parameters() | {"seed": "@"}).replace('"@"', text)
    assert fault_of(content) is None


def test_files_of_other_encodings_are_refused(tmp_path):
    path = tmp_path / "params.yaml"
    for encoded in (FILE.read_text().encode("utf-16"), bytes(range(256)) * 40, b"\xff" * 100):
        path.write_bytes(encoded)
        with pytest.raises(InputError, match=r"params\.yaml: line [12]: no text in UTF-8"):
            params.read(path)
    path.write_bytes(FILE.read_bytes())
    assert set(params.read(path).scenarios) == set(read(FILE)["scenarios"])
