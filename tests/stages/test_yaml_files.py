"""Parameter files are read as DVC reads them, and what DVC could not change key by key is refused with its line."""

import re

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml, load_yaml

from stages.yaml_files import load, read, read_dag
from tests.parameters import FILE, PROJECT
from wavefoundry.errors import InputError

FILES = [PROJECT / "params.yaml", FILE, *sorted((PROJECT / "studies").glob("*.yaml"))]
SCALARS = [
    *("010", "08", "-0", "+1", "1_000", "0o10", "0x1F", "0b11", "0b2", "1e-3", "1e-05", "1e-07", "1E5", "12e03", "1."),
    *(".5", "-.5", "1_0.5", "-2.5e-3", "+.5e+3", "1.2.3", "1:30", "190:20:30.15", "yes", "on", "Off", "n", "TRUE"),
    *("false", "~", "null", "Null", "'text'", '"010"', "'1e-3'"),
]


def leaves(content, keys=()):
    """(keys, value) of all that is no mapping, or an empty one."""
    if isinstance(content, dict) and content:
        return [leaf for key, value in content.items() for leaf in leaves(value, (*keys, key))]
    return [(keys, content)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_read_as_dvc_reads_them(path):
    assert read(path) == load_yaml(str(path))


@pytest.mark.parametrize("text", SCALARS)
def test_values_are_read_as_dvc_reads_them(text, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {text}\nb:\n  - {text}\n")
    found, expected = read(path), load_yaml(str(path))
    assert found == expected and type(found["a"]) is type(expected["a"])


@pytest.mark.parametrize("number", [1e-5, 1e-7, 5e-324, 1e16, 0.1, 3.5e9, 1e300, 10, -3, True, None, "1e-05", "010"])
def test_what_dvc_writes_is_read_back(number):
    found = load(dumps_yaml({"a": number}), "params.yaml")["a"]
    assert found == number and type(found) is type(number)


@pytest.mark.parametrize("path", [PROJECT / "params.yaml", FILE], ids=["params.yaml", "tests/params.yaml"])
def test_every_key_is_set_alone_by_an_experiment(path, tmp_path):
    """Each gets a number of its own: were two keys one thing to DVC, one would have the other's."""
    copy = tmp_path / "params.yaml"
    copy.write_text(path.read_text())
    before = leaves(read(copy))
    wanted = [(keys, (index + 1) * 1e-7) for index, (keys, _) in enumerate(before)]
    apply_overrides(copy, [f"{'.'.join(keys)}={number!r}" for keys, number in wanted])
    assert leaves(read(copy)) == wanted


@pytest.mark.parametrize("group", ["seed", "scenarios", "teach", "distill", "predictors", "evaluate", "register"])
def test_an_experiment_that_sets_one_key_leaves_all_others(group, tmp_path):
    copy = tmp_path / "params.yaml"
    copy.write_text(FILE.read_text())
    before = leaves(read(copy))
    chosen = next(keys for keys, value in reversed(before) if keys[0] == group and isinstance(value, int | float))
    apply_overrides(copy, [f"{'.'.join(chosen)}=1e-05"])
    assert leaves(read(copy)) == [(keys, 1e-5 if keys == chosen else value) for keys, value in before]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1", "line 1: a: &x: anchors, aliases and merge keys are refused, for `dvc exp run -S` would"),
        ("a: 1\nb: {c: [1, *x]}", "line 2: b.c.1: *x: anchors, aliases and merge keys are refused"),
        ("a:\n  <<: {b: 1}", "line 2: a: <<: anchors, aliases and merge keys are refused"),
        ("&x a: 1", "line 1: &x: anchors"),
        ("a: 1\nb: {c: 1,\n  c: 2}", "line 3: b.c: the key is there twice, first in line 2"),
        ("a: !!int x", "line 1: a: tag:yaml.org,2002:int: tags are refused"),
        ("a: !!python/object:os.system x", "tags are refused"),
        (f"a: {'9' * 5000}", "a number of 5000 characters; allowed: 40"),
        ("a: -_", "line 1: a: found -_, no number"),
        ("a: 2020-01-01", "line 1: a: found 2020-01-01"),
        ("a: " + "[" * 10_000, "line 1: a.0.0"),
        ("a: 1\nb: [", "line 3: not valid YAML"),
        ("a: b: c", "line 1: not valid YAML: mapping values are not allowed"),
        ("a: 1\nb: \x00", "line 2: not valid YAML: control characters are not allowed"),
        ("a: \ud800", "not valid YAML: a character that UTF-8 does not have"),
        ("%YAML 1.1\n---\na: 010", "line 1: directives such as %YAML are refused"),
        ("a: 1\n---\nb: 2", "line 2: a second document begins here"),
        ("1: 2", "line 1: 1: a key must be a text"),
        ("? [a]\n: 2", "line 1: a key must be a text"),
        ("", "found no mapping at the top"),
        ("- 1", "found no mapping at the top"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_with_its_line(text, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load(text, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_file_of_another_encoding_is_refused(encoding, tmp_path):
    (tmp_path / "params.yaml").write_bytes("a: 1\nb: é\n".encode(encoding))
    with pytest.raises(InputError, match=r"params\.yaml: line [12]: no text in UTF-8"):
        read(tmp_path / "params.yaml")


def test_the_dag_may_share_parts(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {a: &x {cmd: ls}, b: *x}")
    assert read_dag(tmp_path / "dvc.yaml")["stages"]["b"] == {"cmd": "ls"}
    (tmp_path / "dvc.yaml").write_text("stages: {")
    with pytest.raises(InputError, match=r"dvc\.yaml: line 2: not valid YAML"):
        read_dag(tmp_path / "dvc.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "stages: found no mapping of stages"),
        ("- a", "stages: found no mapping of stages"),
        ("vars: []", "stages: found no mapping of stages"),
        ("stages: 3", "stages: found no mapping of stages"),
        ("stages: {a: 3}", "stages.a: found no mapping"),
        ("stages: {a: {do: 3}}", "stages.a: found no mapping"),
        ("stages: {a: {}}", "stages.a.cmd: missing"),
        ("stages: {a: {foreach: [b], do: {}}}", "stages.a.cmd: missing"),
        ("stages: {a: {cmd: ls, deps: 3}}", "stages.a.deps: found no list"),
    ],
)
def test_a_dag_without_stages_is_refused(tmp_path, text, message):
    (tmp_path / "dvc.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"dvc\.yaml: {re.escape(message)}$"):
        read_dag(tmp_path / "dvc.yaml")
