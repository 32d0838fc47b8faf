"""Studies laid over params.yaml: merging, leaving entries out, holding data sets out; checked before it is written.

A study is a YAML file with only the keys that differ. It is merged into params.yaml, mapping by mapping; lists,
single values and mappings of another `kind` are replaced, comments stay. The whole result is checked before anything is
written.
A study that builds on another one names it: `extends: tr38901.yaml`, a file beside it. One that leaves entries out says
which stay: `only: {scenarios: [uma_los, umi_28ghz], pretrain: []}`; of groups that it does not name all do. One that
brings data sets to ask the trained networks about, and not to train any: `hold_out: [mine]`.
"""

import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter, SafeRepresenter

from stages.params import PATH, check_keys, parse
from stages.yaml_files import load, read, read_text
from storage.replacement import replace_file
from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.options import UNTRAINED

# Groups of entries, from which a study may take some.
ENTRIES = ("scenarios", "imported", "language_models", "pretrain", "teach", "distill", "predictors")
# Keys of a study that are none of params.yaml.
INSTRUCTIONS = ("extends", "only", "hold_out")
# Groups whose entries say which data sets they hold out; students hold out those of their teachers.
LEARNERS = ("pretrain", "teach")


def merge(base: CommentedMap, overlay: CommentedMap) -> None:
    """Merge `overlay` into `base` in place, recursively where both hold mappings, and not of two kinds."""
    for key, value in overlay.items():
        before = base.get(key)
        both = isinstance(before, CommentedMap) and isinstance(value, CommentedMap)
        if both and before.get("kind") == value.get("kind", before.get("kind")):
            merge(before, value)
        else:
            base[key] = value


def apply(study: Path, params: Path = PATH) -> None:
    """Merge the file `study` into the file `params`, all of it or nothing.

    Raises:
        InputError: a file is missing or no YAML mapping, studies extend each other in a circle, or the result is no
            valid parameter file.
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
    yaml, source = _yaml(), f"{params} with {study}" if study else str(params)
    merged = _load(yaml, params)
    kept: list[tuple[str, Sequence[str]]] = []
    held_out: list[str] = []
    if study is not None:
        overlay = _load_study(yaml, study)
        kept += _only(overlay.pop("only", {}), study).items()
        held_out = _held_out(overlay.pop("hold_out", []), study)
        merge(merged, overlay)
    if scenarios:
        kept.append(("scenarios", scenarios))
    if seed is not None:
        merged["seed"] = seed
    gone = [(group, _leave_out(merged, group, names)) for group, names in kept]
    # What is changed below is of the form that it should have.
    check_keys(_text(yaml, merged), source)
    for group, names in gone:
        _forget(merged, group, names)
    _hold_out(merged, held_out)
    _forget_claims(merged)
    text = _text(yaml, merged)
    parse(text, source)
    return text


def laid_over(text: str, study: Path) -> str | None:
    """The text of a parameter file with a study laid over it; None if that is not possible."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, PATH.name)
        base.write_text(text)
        try:
            return compose(study, base)
        except InputError:
            return None


def may_be_in(study: Path, text: str) -> bool:
    """Whether the text of a parameter file has all values that a study names: false where it was not laid over it.

    Unlike `compose`, which takes seconds, this takes a moment.
    """
    try:
        named, found = read(study), load(text, "params.yaml")
    except InputError:
        return False
    return _agrees({key: value for key, value in named.items() if key not in INSTRUCTIONS}, found)


def _agrees(named: Any, found: Any) -> bool:
    if isinstance(named, Mapping) and isinstance(found, Mapping):
        return all(key in found and _agrees(value, found[key]) for key, value in named.items())
    return bool(named == found)


def _only(only: Any, study: Path) -> dict[str, list[str]]:
    """What `only` of a study says, checked."""
    lists = isinstance(only, Mapping) and all(_is_names(names) for names in only.values())
    if not lists or set(only) - set(ENTRIES):
        raise InputError(f"{study}: only: allowed are lists of names under {', '.join(ENTRIES)}")
    return {group: list(names) for group, names in only.items()}


def _held_out(names: Any, study: Path) -> list[str]:
    """What `hold_out` of a study says, checked."""
    if not _is_names(names):
        raise InputError(f"{study}: hold_out: allowed is a list of names of data sets")
    return list(names)


def _is_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _hold_out(content: CommentedMap, names: Sequence[str]) -> None:
    """Have no network learn from these data sets; there being one of each name is checked with all else."""
    for learners in LEARNERS:
        for section in content[learners].values():
            section["held_out"] += [name for name in dict.fromkeys(names) if name not in section["held_out"]]


def _leave_out(content: CommentedMap, group: str, names: Sequence[str]) -> set[str]:
    """Leave out all entries of a group but these; the names of those that are gone."""
    if not isinstance(content[group], Mapping):
        return set()  # refused with all else that has the wrong form
    found = list(content[group])
    unknown = [name for name in names if name not in found]
    if unknown:
        raise InputError(f"{group}: there is no entry {unknown[0]!r}, found: {', '.join(found) or 'none'}")
    gone = set(found) - set(names)
    for name in gone:
        del content[group][name]
    return gone


def _forget(content: CommentedMap, group: str, gone: set[str]) -> None:
    """Leave out what refers to entries of a group that are gone."""
    for claim, tested in list(content["claims"].items()):
        models = {name.removesuffix(UNTRAINED) for name in (tested["model"], *tested["others"])}
        if gone & {*models, *(tested.get("datasets") or ())}:
            del content["claims"][claim]
    for table, shown in list(content["tables"].items()):
        if gone & {*shown["columns"].values(), *(name for names in shown["rows"].values() for name in names)}:
            del content["tables"][table]
    if group not in ("scenarios", "imported"):
        return
    for question in content["evaluate"]["prediction"]["questions"].values():
        for name in gone & set(question["exceptions"]):
            del question["exceptions"][name]
    suites = content["evaluate"]["prediction"]["suites"]
    for suite, asked in list(suites.items()):
        if gone & set(asked["datasets"] or ()):
            asked["datasets"] = [name for name in asked["datasets"] if name not in gone]
            if not asked["datasets"]:
                del suites[suite]
    for learners in LEARNERS:
        for section in content[learners].values():
            if gone & set(section["held_out"]):
                section["held_out"] = [name for name in section["held_out"] if name not in gone]
    downstream = content["evaluate"]["downstream"]
    if downstream and gone & {downstream["channels"], downstream["beams"]}:
        # Its tasks need both of their data sets.
        content["evaluate"]["downstream"] = None


def _forget_claims(content: CommentedMap) -> None:
    """Leave out claims about downstream tasks, or about channel feedback, of a study without any."""
    for evaluation, key in (("downstream", "task"), ("feedback", "bits")):
        if not content["evaluate"][evaluation]:
            for claim in [name for name, tested in content["claims"].items() if key in tested]:
                del content["claims"][claim]


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


def _text(yaml: YAML, content: CommentedMap) -> str:
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def _load_study(yaml: YAML, path: Path, before: Sequence[Path] = ()) -> CommentedMap:
    """A study with what it extends; `before` are the studies that led to it."""
    chain = [*before, path]
    if path.resolve() in [other.resolve() for other in before]:
        raise InputError(f"{chain[0]}: extends leads in a circle: {' -> '.join(map(str, chain))}")
    study = _load(yaml, path)
    if "extends" not in study:
        return study
    name = study.pop("extends")
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: extends: found {name!r}, allowed: the name of a file beside it")
    extended = _load_study(yaml, path.parent / name, chain)
    merge(extended, study)
    return extended


def _load(yaml: YAML, path: Path) -> CommentedMap:
    """A file with its comments, which was checked before."""
    text = read_text(path)
    load(text, str(path))
    return yaml.load(text)
