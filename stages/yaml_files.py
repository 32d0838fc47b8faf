"""Every YAML file that this project reads, in the dialect in which DVC reads them: params.yaml, studies, dvc.yaml.

It is YAML 1.2: `1e-05` and `1e-3` are numbers, `010` is ten, `yes` is a text. In parameter files what only YAML knows
is refused with its line: anchors, aliases and merge keys, where `dvc exp run -S` would set nothing or too much, tags, a
key that is there twice, keys that are no texts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

from wavefoundry.errors import InputError
from wavefoundry.faults import joined, shortened

# Sections within sections; params.yaml has nine.
DEEPEST = 32
# Characters of a number: no number of this project needs more, and Python itself reads no integer of many thousands.
LONGEST_NUMBER = 40

_STANDARD = "tag:yaml.org,2002:"
_WHY = (
    "anchors, aliases and merge keys are refused, for `dvc exp run -S` would change nothing there, or other keys as "
    "well; write the values out"
)


def read(path: Path) -> dict[str, Any]:
    """The content of a parameter file.

    Raises:
        InputError: as `load`, or there is no such file, or it is no text in UTF-8.
    """
    return load(read_text(path), str(path))


def read_dag(path: Path) -> dict[str, Any]:
    """The content of a dvc.yaml, whose stages may share parts by anchors: nobody sets these by `-S`.

    Raises:
        InputError: there is no such file, or it is no YAML, or its `stages` are no mapping, or one of them is none, has
            no `cmd`, or has `deps` that are no list.
    """
    text = read_text(path)
    with _clear_errors(str(path), text):
        content = YAML(typ="safe").load(text)
    if not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
        raise InputError(f"{path}: stages: found no mapping of stages")
    for name, definition in content["stages"].items():
        body = definition.get("do", definition) if isinstance(definition, dict) else None
        if not isinstance(body, dict):
            raise InputError(f"{path}: stages.{name}: found no mapping")
        if "cmd" not in body:
            raise InputError(f"{path}: stages.{name}.cmd: missing")
        if not isinstance(body.get("deps", []), list):
            raise InputError(f"{path}: stages.{name}.deps: found no list")
    return content


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: there is no such file, or it is no text in UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: no text in UTF-8, found the byte {error.object[error.start]}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def load(text: str, source: str) -> dict[str, Any]:
    """The content of the text of a file: mappings, lists, texts, numbers, true, false and null.

    Args:
        text: of the file.
        source: names it in messages.

    Raises:
        InputError: it is no YAML or no mapping, or says what this project refuses; one line with the file, the line
            and the key.
    """
    builder = _Builder(source)
    with _clear_errors(source, text):
        # The parser that DVC uses; its events are put together here, where keys and lines are known.
        for event in YAML(typ="safe").parse(text):
            builder.take(event)
    if not isinstance(builder.content, dict):
        raise InputError(f"{source}: found no mapping at the top")
    return builder.content


@contextmanager
def _clear_errors(source: str, text: str) -> Iterator[None]:
    """Turn what the parser raises into one line with the file and the line."""
    try:
        yield
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        told = ", ".join(filter(None, [error.context, error.problem]))
        raise InputError(f"{source}: {where}not valid YAML: {shortened(told)}") from None
    except YAMLError as error:
        position = getattr(error, "position", None)
        where = "" if position is None else f"line {text.count(chr(10), 0, position) + 1}: "
        reason = str(getattr(error, "reason", "") or error).splitlines()[0]
        raise InputError(f"{source}: {where}not valid YAML: {shortened(reason)}") from None
    except UnicodeError:
        raise InputError(f"{source}: not valid YAML: a character that UTF-8 does not have") from None


@dataclass
class _Open:
    """A mapping or list that has not ended; a mapping without a `key` waits for one."""

    content: dict | list
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)


class _Builder:
    """Puts the events of a parser together."""

    def __init__(self, source: str):
        self.content: Any = None
        self._source = source
        self._documents = 0
        self._open: list[_Open] = []
        self._resolver = VersionedResolver((1, 2))

    def take(self, event: Any) -> None:
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._fault(event, "a second document begins here; one file is one document")
            if event.version or event.tags:
                raise self._fault(event, "directives such as %YAML are refused; this is YAML 1.2")
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._open.pop()
            if self._open:
                self._open[-1].key = None
        elif isinstance(event, AliasEvent):
            raise self._fault(event, f"*{shortened(event.anchor)}: {_WHY}")
        elif isinstance(event, ScalarEvent):
            self._refuse(event)
            if self._awaits_key:
                self._take_key(event)
            else:
                self._put(self._scalar(event))
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._refuse(event)
            if self._awaits_key:
                raise self._fault(event, "a key must be a text")
            if len(self._open) == DEEPEST:
                raise self._fault(event, f"more than {DEEPEST} sections within each other")
            content: dict | list = {} if isinstance(event, MappingStartEvent) else []
            self._put(content)
            self._open.append(_Open(content))

    @property
    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].content, dict) and self._open[-1].key is None

    def _refuse(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._fault(event, f"&{shortened(event.anchor)}: {_WHY}")
        if event.tag is not None:
            raise self._fault(event, f"{shortened(str(event.tag))}: tags are refused; write the value alone")

    def _take_key(self, event: Any) -> None:
        section, line = self._open[-1], event.start_mark.line + 1
        kind = self._kind(event)
        if kind == "merge":
            raise self._fault(event, f"<<: {_WHY}")
        if kind != "str":
            raise self._fault(event, f"{shortened(event.value)}: a key must be a text; put it in quotes")
        section.key = event.value
        if event.value in section.lines:
            raise self._fault(event, f"the key is there twice, first in line {section.lines[event.value]}")
        section.lines[event.value] = line

    def _put(self, value: Any) -> None:
        if not self._open:
            self.content = value
            return
        section = self._open[-1]
        if isinstance(section.content, list):
            section.content.append(value)
        else:
            section.content[section.key] = value
            if not isinstance(value, dict | list):
                # That of a section stays until it ends, for messages.
                section.key = None

    def _kind(self, event: Any) -> str:
        """What a scalar is: "str", "int", "float", "bool", "null", or a kind of YAML's that is refused."""
        tag = self._resolver.resolve(ScalarNode, event.value, event.implicit)
        return str(tag).removeprefix(_STANDARD)

    def _scalar(self, event: Any) -> Any:
        kind, text = self._kind(event), event.value
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind not in ("int", "float"):
            raise self._fault(event, f"found {shortened(text)}, which YAML takes for more than a text; quote it")
        if len(text) > LONGEST_NUMBER:
            raise self._fault(
                event, f"found {shortened(text)}, a number of {len(text)} characters; allowed: {LONGEST_NUMBER}"
            )
        try:
            return _whole(text) if kind == "int" else _real(text)
        except ValueError:
            raise self._fault(event, f"found {shortened(text)}, no number") from None

    def _fault(self, event: Any, message: str) -> InputError:
        keys: list[str | int] = []
        for section in self._open:
            if isinstance(section.content, list):
                keys.append(len(section.content) - (section is not self._open[-1]))
            elif section.key is not None:
                keys.append(section.key)
        key = f"{joined(keys)}: " if keys else ""
        return InputError(f"{self._source}: line {event.start_mark.line + 1}: {key}{message}")


def _whole(text: str) -> int:
    digits = text.replace("_", "").lower()
    unsigned = digits.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(unsigned[:2])
    return int(digits, base) if base else int(digits)


def _real(text: str) -> float:
    digits = text.replace("_", "").lower()
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
