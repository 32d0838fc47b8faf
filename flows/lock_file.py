"""dvc.lock as a run of the DAG changes it: one entry after the other, each at once or not at all."""

import re
import warnings
from pathlib import Path

from storage.replacement import replace_file

HEAD = "schema: '2.0'\nstages:\n"
# Where an entry begins: nothing but their names is indented by two spaces and no more.
ENTRY = re.compile(r"^(?=  [^ ])", re.MULTILINE)
# A line that belongs to no entry.
OUTSIDE = re.compile(r"^[^ \n]", re.MULTILINE)
# What one entry holds twice is written once and referred to.
REFERENCE = "&id"


class LockFile:
    """A dvc.lock, kept in memory as the text of its entries: of a change only the new entry is written anew.

    Parsing and writing all of it, as DVC does, takes seconds with a hundred stages. The file is read anew when somebody
    else has changed it.
    """

    def __init__(self, path: Path):
        self._path = path
        self._text = ""
        self._head = HEAD
        self._entries: dict[str, str] = {}

    def names(self) -> list[str]:
        """Its entries, in their order; none if there is no file."""
        self._read()
        return list(self._entries)

    def outputs(self, name: str) -> list[tuple[Path, str]]:
        """Path and md5 of all that an entry says its stage has written."""
        self._read()
        entry = _parse("stages:\n" + self._entries[name], self._path)["stages"][name]
        return [(Path(out["path"]), out["md5"]) for out in entry.get("outs", ())]

    def put(self, name: str, entry: dict, later: set[str]) -> None:
        """Replace an entry where it stands, as Lockfile.dump of DVC does; a new one goes before those in `later`.

        Args:
            name: of the stage.
            entry: as DVC's `to_lockfile` makes it.
            later: names of stages whose entries stand after a new one, where there are any.

        Raises:
            StorageError: the file cannot be written; it is as it was before.
        """
        from dvc.utils.serialize import dumps_yaml
        from ruamel.yaml.error import ReusedAnchorWarning

        self._read()
        text = _text_of(name, entry)
        if name in self._entries:
            entries = self._entries | {name: text}
        else:
            place = next((place for place, other in enumerate(self._entries) if other in later), len(self._entries))
            items = list(self._entries.items())
            entries = dict([*items[:place], (name, text), *items[place:]])
        whole = self._head + "".join(entries.values())
        if REFERENCE in whole:
            # DVC numbers the references of all entries in one row; here each entry has numbers of its own.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ReusedAnchorWarning)
                whole = dumps_yaml(_parse(whole, self._path))
        replace_file(self._path, whole)
        self._text, self._entries = whole, entries

    def _read(self) -> None:
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if text == self._text:
            return
        content = _parse(text, self._path) or {}
        entries = content.get("stages") or {}
        head, *parts = ENTRY.split(text)
        if len(parts) != len(entries) or OUTSIDE.search("".join(parts)):
            # Not as DVC writes it: by hand, or empty.
            head, parts = HEAD, [_text_of(name, entry) for name, entry in entries.items()]
        self._text, self._head, self._entries = text, head, dict(zip(entries, parts, strict=True))


def _text_of(name: str, entry: dict) -> str:
    """An entry as it stands in the file."""
    from dvc.utils.serialize import dumps_yaml

    return dumps_yaml({"stages": {name: entry}}).removeprefix("stages:\n")


def _parse(text: str, path: Path) -> dict:
    from dvc.utils.serialize import parse_yaml_for_update

    return parse_yaml_for_update(text, path)
