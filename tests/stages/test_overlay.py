"""A study changes the keys that it names and nothing else, or nothing at all."""

import copy

import pytest
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML
from ruamel.yaml.tokens import AliasToken, AnchorToken

from stages import yaml_files
from stages.overlay import apply, compose, may_be_in
from stages.params import parse, read
from tests.parameters import FILE, PROJECT
from wavefoundry.errors import InputError
from wavefoundry.evaluation.claim_options import TaskClaim

# What refers to entries of the study of the tests by their names.
REFERENCES = """
teach: {wifo: {held_out: [uma_nlos, canyon]}}
evaluate: {prediction: {suites: {generalisation: {datasets: [street_canyon, uma_nlos]}}}}
claims:
  student_keeps_time: {source: ours, says: it does, question: time, model: tiny_wifo, others: [wifo], datasets: null,
    ahead_db: -1.0}
  network_ahead: {source: ours, says: it is, question: time, model: wifo, others: [sample_and_hold],
    datasets: [street_canyon], ahead_db: 0.0}
  pretraining_pays: {source: ours, says: it does, task: los, label_fraction: 0.5, model: wimamba,
    others: [lwm_untrained], ahead: 0.0}
  ahead_of_raw: {source: ours, says: it is, task: los, label_fraction: 0.5, model: wimamba, others: [raw], ahead: 0.0}
tables:
  of_the_student: {title: Student, split: test, columns: {Student: tiny_wifo}, questions: [time],
    rows: {all: [street_canyon]}, costs: [], published: null}
  of_the_teacher: {title: Teacher, split: test, columns: {Teacher: wifo}, questions: [time],
    rows: {all: [street_canyon]}, costs: [], published: null}
"""


@pytest.fixture
def params(tmp_path):
    """The study of the tests, in a file that may be changed."""
    path = tmp_path / "params.yaml"
    path.write_text(FILE.read_text())
    return path


@pytest.fixture
def referring(params, tmp_path):
    """The same with claims, tables and lists that name entries."""
    apply(write(tmp_path, REFERENCES), params)
    return params


@pytest.fixture
def default(tmp_path):
    """The default study, over which those of the folder studies are laid."""
    path = tmp_path / "params.yaml"
    path.write_text((PROJECT / "params.yaml").read_text())
    return path


def write(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def deep_merge(base, overlay):
    merged = copy.deepcopy(base)
    for key, value in overlay.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = deep_merge(merged[key], value) if both else value
    return merged


@pytest.mark.parametrize("kind", [None, "of_before", "antenna_ports"])
def test_a_mapping_of_another_kind_replaces_the_one_before(default, tmp_path, kind):
    before = yaml_files.read(default)["teach"]["gru"]["sequences"]
    change = {"drawn": 1} if kind is None else {"kind": before["kind"] if kind == "of_before" else kind, "drawn": 1}
    apply(write(tmp_path, dumps_yaml({"teach": {"gru": {"sequences": change}}})), default)
    expected = change if kind == "antenna_ports" else before | change
    assert yaml_files.read(default)["teach"]["gru"]["sequences"] == expected


def content(study):
    own = yaml_files.read(study)
    return deep_merge(content(study.parent / own.pop("extends")), own) if "extends" in own else own


@pytest.mark.parametrize("name", sorted(path.name for path in (PROJECT / "studies").glob("*.yaml")))
def test_every_study_is_valid_and_applies_twice_to_the_same(default, name):
    study = PROJECT / "studies" / name
    overlay = content(study)
    only = overlay.pop("only", {})
    expected = deep_merge(yaml_files.read(default), overlay)
    for group, names in only.items():
        expected[group] = {name: entry for name, entry in expected[group].items() if name in names}
    groups = ("scenarios", "imported", "pretrain", "teach", "distill", "predictors")
    left = {name for group in groups for name in expected[group]}
    left |= {f"{name}_untrained" for name in left} | {"raw", "raw_lmmse"}
    downstream = expected["evaluate"]["downstream"]
    if downstream and not {downstream["channels"], downstream["beams"]} <= left:
        downstream = expected["evaluate"]["downstream"] = None
    for name, claim in list(expected["claims"].items()):
        named = [claim["model"], *claim["others"], *(claim.get("datasets") or [])]
        if not left.issuperset(named) or ("task" in claim and not downstream):
            del expected["claims"][name]
    for name, table in list(expected["tables"].items()):
        if not left.issuperset(
            [*table["columns"].values(), *(one for names in table["rows"].values() for one in names)]
        ):
            del expected["tables"][name]
    if "scenarios" in only:
        for entry in (*expected["pretrain"].values(), *expected["teach"].values()):
            entry["held_out"] = [name for name in entry["held_out"] if name in expected["scenarios"]]
        for question in expected["evaluate"]["prediction"]["questions"].values():
            question["exceptions"] = {
                name: blocks for name, blocks in question["exceptions"].items() if name in expected["scenarios"]
            }
        suites = expected["evaluate"]["prediction"]["suites"]
        for name, suite in list(suites.items()):
            if suite["datasets"] is not None:
                suite["datasets"] = [dataset for dataset in suite["datasets"] if dataset in expected["scenarios"]]
                if not suite["datasets"]:
                    del suites[name]
    apply(study, default)
    first = default.read_text()
    assert yaml_files.load(first, "params.yaml") == expected
    assert may_be_in(study, first) and not may_be_in(study, (PROJECT / "params.yaml").read_text())
    read(default)
    apply(study, default)
    assert default.read_text() == first


def test_one_key_changes_one_line_and_comments_stay(default, tmp_path):
    before = default.read_text().splitlines()
    apply(write(tmp_path, "angle_delay: {delay_fraction: 0.5}"), default)
    after = default.read_text().splitlines()
    assert len(before) == len(after)
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ["  delay_fraction: 0.5"]


def test_no_key_of_params_or_a_study_hangs_on_another_one():
    """Below an anchor or alias of YAML `dvc exp run -S` would change nothing, or two keys at once."""
    for path in (PROJECT / "params.yaml", *(PROJECT / "studies").glob("*.yaml")):
        tokens = list(YAML().scan(path.read_text()))
        assert not [token for token in tokens if isinstance(token, AnchorToken | AliasToken)], path


def test_a_study_that_shares_by_an_alias_changes_one_place_only(params, tmp_path):
    before = yaml_files.read(params)
    apply(write(tmp_path, "distill: {tiny_wifo: {options: {training: {epochs: 99}}}}"), params)
    assert yaml_files.read(params) == deep_merge(
        before, {"distill": {"tiny_wifo": {"options": {"training": {"epochs": 99}}}}}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("teach: {wifo: {training: {epochz: 7}}}", r"teach\.wifo\.training\.epochz: unknown key"),
        ("teach: {wifo: {training: {epochs: 0}}}", r"teach\.wifo\.training\.epochs: found 0"),
        ("teach: {wifo: {training: {epochs: many}}}", r"teach\.wifo\.training\.epochs: found 'many'"),
        ("colour: green", "colour: unknown key"),
        ("- 1", "found no mapping"),
        ("", "found no mapping"),
        ("a: [", r"study\.yaml: line 2: not valid YAML"),
        ("teach: &a {}\ndistill: *a", r"study\.yaml: line 1: teach: &a: anchors, .*dvc exp run -S"),
        ("seed: 1\nseed: 2", r"study\.yaml: line 2: seed: the key is there twice, first in line 1"),
        ("seed: .inf", "seed: found inf"),
        ("extends: null", r"study\.yaml: extends: found None, allowed: the name of a file beside it"),
        ("extends: ''", r"study\.yaml: extends: found ''"),
        ("extends: [a.yaml]", r"study\.yaml: extends: found \['a\.yaml'\]"),
        ("extends: 3", r"study\.yaml: extends: found 3"),
        ("extends: study.yaml", r"^(\S*/study\.yaml): extends leads in a circle: \1 -> \1$"),
    ],
)
def test_bad_study_is_refused_and_nothing_is_written(params, tmp_path, text, message):
    before = params.read_bytes()
    with pytest.raises(InputError, match=message) as error:
        apply(write(tmp_path, text), params)
    assert "study.yaml" in str(error.value)
    assert params.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "study.yaml"]


def test_studies_that_extend_each_other_are_named_in_their_order(params, tmp_path):
    for name, other in (("b", "c"), ("c", "./b")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {other}.yaml")
    with pytest.raises(InputError, match=r"study\.yaml -> \S+/b\.yaml -> \S+/c\.yaml -> \S+/b\.yaml$") as error:
        apply(write(tmp_path, "extends: b.yaml"), params)
    assert "\n" not in str(error.value)


def test_claims_go_with_what_they_are_about(referring, tmp_path):
    apply(write(tmp_path, "only: {distill: []}"), referring)
    assert set(parse(referring.read_text(), "p").claims) == {"network_ahead", "pretraining_pays", "ahead_of_raw"}
    apply(write(tmp_path, "only: {pretrain: [wimamba]}"), referring)
    assert set(parse(referring.read_text(), "p").claims) == {"network_ahead", "ahead_of_raw"}


@pytest.mark.parametrize("text", ["evaluate: {downstream: null}", "only: {scenarios: [street_canyon, uma_nlos]}"])
def test_claims_about_tasks_go_with_the_tasks(referring, tmp_path, text):
    apply(write(tmp_path, text), referring)
    after = parse(referring.read_text(), "p")
    assert after.evaluate.downstream is None and not any(isinstance(one, TaskClaim) for one in after.claims.values())
    assert set(after.claims) == {"student_keeps_time", "network_ahead"}


def test_tables_go_with_what_they_show(referring, tmp_path):
    apply(write(tmp_path, "only: {distill: []}"), referring)
    assert set(parse(referring.read_text(), "p").tables) == {"of_the_teacher"}


def test_suites_go_with_their_last_data_set(referring, tmp_path):
    def left(names):
        apply(write(tmp_path, f"only: {{scenarios: [{', '.join(names)}]}}"), referring)
        return parse(referring.read_text(), "p").evaluate.prediction.suites

    assert left(["street_canyon", "canyon", "canyon_28ghz"])["generalisation"].datasets == ["street_canyon"]
    assert set(left(["canyon", "canyon_28ghz"])) == {"robustness"}


def test_only_some_entries_stay(referring, tmp_path):
    kept = "{scenarios: [street_canyon, uma_nlos], pretrain: [], predictors: [autoregression]}"
    apply(write(tmp_path, f"only: {kept}"), referring)
    after = yaml_files.read(referring)
    assert list(after["scenarios"]) == ["street_canyon", "uma_nlos"]
    assert after["pretrain"] == {} and list(after["predictors"]) == ["autoregression"]
    assert after["teach"]["wifo"]["held_out"] == ["uma_nlos"]
    assert after["evaluate"]["downstream"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only: {predictors: [proni]}", r"predictors: there is no entry 'proni', found: sample_and_hold"),
        ("only: {models: [wifo]}", r"study\.yaml: only: allowed are lists of names under scenarios, "),
        ("only: {teach: wifo}", r"study\.yaml: only: allowed are lists of names under scenarios, "),
        ("only: [wifo]", r"study\.yaml: only: allowed are lists of names under scenarios, "),
        ("only: {teach: []}", r"there is no entry 'wifo'"),
        ("only: {teach: [wifo]}\nteach: 3", r"teach: found 3"),
        ("only: {teach: [wifo]}\nteach: {wifo: 3}", r"teach\.wifo: found 3"),
        ("only: {teach: [wifo]}\nclaims: {bold: []}", r"claims\.bold: found \[\]"),
        ("hold_out: [uma_nlos]\nteach: {wifo: 3}", r"teach\.wifo: found 3"),
        ("hold_out: [uma_nlos]\nteach: {wifo: {held_out: null}}", r"teach\.wifo\.held_out: found None"),
        ("hold_out: [berlin]", r"held_out: there is no data set 'berlin', found: street_canyon"),
        ("hold_out: berlin", r"study\.yaml: hold_out: allowed is a list of names of data sets"),
        ("hold_out: {berlin: 1}", r"study\.yaml: hold_out: allowed is a list of names of data sets"),
    ],
)
def test_only_names_what_is_there(params, tmp_path, text, message):
    before = params.read_bytes()
    with pytest.raises(InputError, match=message):
        apply(write(tmp_path, text), params)
    assert params.read_bytes() == before


def test_a_data_set_that_is_held_out_is_asked_about_and_trains_nothing(params, tmp_path):
    before = parse(params.read_text(), "p")
    block = "{file: null, variable: csi, imaginary: null, slot: 0, subcarrier: 0}"
    new = f"mine: {{kind: zarr, files: mine.zarr, blocks: {{any: [{block}]}}, blocked: refuse, "
    new += "split: {train: 0.5, validation: 0.25, test: 0.25}, axes: [sample, time, antenna, subcarrier], "
    new += "trajectory: null, speed: null, unknown_is_zero: false, carrier_frequency: 2.4e+9, slots: 16, "
    new += "slot_duration: 5.0e-4, subcarriers: 32, subcarrier_spacing: 180.0e+3, samples_per_call: 5, "
    new += "array: {rows: 1, columns: 16, spacing: 0.5, pattern: iso, polarisation: V}}"
    apply(write(tmp_path, f"imported: {{{new}}}\nhold_out: [mine]"), params)
    after = parse(params.read_text(), "p")
    assert {name: after.learnt_by(name) for name in after.models} == {
        name: before.learnt_by(name) for name in before.models
    }
    asked = {
        name for name in [*after.models, *after.predictors] if "mine" in {found for _, found in after.answered(name)}
    }
    assert {"wifo", "lwm_temporal", "tiny_wifo", "sample_and_hold"} <= asked
    text = params.read_text()
    apply(tmp_path / "study.yaml", params)
    assert params.read_text() == text


def test_a_data_set_that_is_held_out_twice_is_in_each_list_once(params, tmp_path):
    apply(write(tmp_path, "hold_out: [uma_nlos, uma_nlos]"), params)
    content = yaml_files.read(params)
    for learners in ("pretrain", "teach"):
        for name, section in content[learners].items():
            assert section["held_out"].count("uma_nlos") == 1, name


def test_missing_study_is_named(params, tmp_path):
    with pytest.raises(InputError, match=r"large\.yaml: no such file"):
        apply(tmp_path / "large.yaml", params)


def test_null_is_written_as_null_here_and_nobody_elses_yaml_changes(default, tmp_path):
    before = default.read_text()
    assert ": null" in before
    apply(write(tmp_path, "{}"), default)
    assert default.read_text() == before
    assert dumps_yaml({"a": {"b": None}}) == "a:\n  b:\n"


def test_seed_and_scenarios_of_one_run(referring):
    before = referring.read_text()
    kept = [name for name in yaml_files.load(before, "params.yaml")["scenarios"] if name != "uma_nlos"]
    content = yaml_files.load(compose(params=referring, seed=3, scenarios=kept), "params.yaml")
    assert referring.read_text() == before
    assert content["seed"] == 3
    assert list(content["scenarios"]) == kept
    assert "uma_nlos" in yaml_files.load(before, "params.yaml")["teach"]["wifo"]["held_out"]
    assert "uma_nlos" not in content["teach"]["wifo"]["held_out"]
    with pytest.raises(InputError, match=r"'berlin', found: street_canyon"):
        compose(params=referring, scenarios=["berlin"])
    with pytest.raises(InputError, match=r"no such file"):
        compose(referring.with_name("none.yaml"), referring)
