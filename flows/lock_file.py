"""dvc.lock as a run of the DAG changes it: one entry after the other, each at once or not at all."""

from pathlib import Path

from storage.replacement import replace_file


class LockFile:
    """A dvc.lock, kept in memory as DVC parses it for a change: order and formats stay.

    It is read anew when somebody else has changed it.
    """

    def __init__(self, path: Path):
        self._path = path
        self._text = ""
        self._content: dict = {}

    def names(self) -> list[str]:
        """Its entries, in their order; none if there is no file."""
        return list(self._read().get("stages", {}))

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
        from ruamel.yaml.comments import CommentedMap

        content = self._read() or CommentedMap(schema="2.0")
        entries = content.setdefault("stages", CommentedMap())
        # Read back: what two entries share would be written as a reference.
        entry = _parse(dumps_yaml(entry), self._path)
        # To be read anew, should this fail.
        self._text, self._content = "", {}
        if name in entries:
            entries[name] = entry
        else:
            place = next((place for place, other in enumerate(entries) if other in later), len(entries))
            entries.insert(place, name, entry)
        text = dumps_yaml(content)
        replace_file(self._path, text)
        self._text, self._content = text, content

    def _read(self) -> dict:
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if text != self._text:
            self._text, self._content = text, _parse(text, self._path)
        return self._content


def _parse(text: str, path: Path) -> dict:
    from dvc.utils.serialize import parse_yaml_for_update

    return parse_yaml_for_update(text, path)
