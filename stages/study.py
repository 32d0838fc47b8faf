"""Lay a study over params.yaml: `python -m stages.study studies/paper.yaml`.

A study is a YAML file with only the keys that differ. It is merged into params.yaml, mapping by mapping; lists and
single values are replaced, comments stay. The whole result is checked before anything is written.
A study that builds on another one names it: `extends: tr38901.yaml`, a file beside it.
Back to the committed parameters: `git checkout params.yaml`.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter, SafeRepresenter

from stages.params import PATH, parse
from stages.stage import clear_errors
from stages.yaml_files import load, read_text
from storage.replacement import replace_file
from wavefoundry.errors import InputError


def merge(base: CommentedMap, overlay: CommentedMap) -> None:
    """Merge `overlay` into `base` in place, recursively where both hold mappings."""
    for key, value in overlay.items():
        if isinstance(base.get(key), CommentedMap) and isinstance(value, CommentedMap):
            merge(base[key], value)
        else:
            base[key] = value


def apply(study: Path, params: Path = PATH) -> None:
    """Merge the file `study` into the file `params`, all of it or nothing.

    Raises:
        InputError: a file is missing or no YAML mapping, or the result is no valid parameter file.
    """
    text = compose(study, params)
    replace_file(params, text)


def compose(
    study: Path | None = None, params: Path = PATH, *, seed: int | None = None, scenarios: Sequence[str] = ()
) -> str:
    """The text of the file `params` with the file `study` merged into it, checked; no file is changed.

    Args:
        study: the overlay, None: none.
        params: the file.
        seed: takes the place of the seed.
        scenarios: those that stay, none named: all; the others leave the lists `held_out` of the models, too, and
            the downstream tasks are left out with their data.

    Raises:
        InputError: as `apply`, or a scenario is unknown.
    """
    yaml = _yaml()
    merged = _load(yaml, params)
    if study is not None:
        merge(merged, _load_study(yaml, study))
    if seed is not None:
        merged["seed"] = seed
    if scenarios:
        _keep(merged, scenarios)
    text = io.StringIO()
    yaml.dump(merged, text)
    parse(text.getvalue(), f"{params} with {study}" if study else str(params))
    return text.getvalue()


def _keep(content: CommentedMap, scenarios: Sequence[str]) -> None:
    found = list(content.get("scenarios") or {})
    unknown = [name for name in scenarios if name not in found]
    if unknown:
        raise InputError(f"scenarios: there is no scenario {unknown[0]!r}, found: {', '.join(found)}")
    for name in found:
        if name not in scenarios:
            del content["scenarios"][name]
    gone = set(found) - set(scenarios)
    for group in ("pretrain", "teach"):
        for section in (content.get(group) or {}).values():
            if held_out := section.get("held_out"):
                section["held_out"] = [name for name in held_out if name not in gone]
    downstream = content["evaluate"].get("downstream")
    if downstream and gone & {downstream["channels"], downstream["beams"]}:
        # Its tasks need both of their data sets.
        content["evaluate"]["downstream"] = None


class _Representer(RoundTripRepresenter):
    """Writes null as null; a class of its own, for DVC writes dvc.lock with the other."""


_Representer.add_representer(type(None), SafeRepresenter.represent_none)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.preserve_quotes = True
    yaml.Representer = _Representer
    return yaml


def _load_study(yaml: YAML, path: Path) -> CommentedMap:
    """A study with what it extends."""
    study = _load(yaml, path)
    if "extends" not in study:
        return study
    extended = _load_study(yaml, path.parent / str(study.pop("extends")))
    merge(extended, study)
    return extended


def _load(yaml: YAML, path: Path) -> CommentedMap:
    """A file with its comments, which was checked before."""
    text = read_text(path)
    load(text, str(path))
    return yaml.load(text)


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.study", description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="overlay, such as studies/paper.yaml")
    arguments = parser.parse_args()
    apply(arguments.study)
    print(f"{PATH} now holds the study {arguments.study}; back to the committed parameters: git checkout {PATH}")


if __name__ == "__main__":
    main()
