"""A study changes the keys that it names and nothing else, or nothing at all."""

import copy
from pathlib import Path

import pytest
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML
from ruamel.yaml.tokens import AliasToken, AnchorToken

from stages import yaml_files
from stages.overlay import apply, compose, may_be_in
from stages.params import parse, read
from wavefoundry.errors import InputError
from wavefoundry.evaluation.claim_options import TaskClaim

TOP = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((TOP / "params.yaml").read_text())
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


def content(study):
    own = yaml_files.read(study)
    return deep_merge(content(study.parent / own.pop("extends")), own) if "extends" in own else own


@pytest.mark.parametrize("name", sorted(path.name for path in (TOP / "studies").glob("*.yaml")))
def test_every_study_is_valid_and_applies_twice_to_the_same(params, name):
    study = TOP / "studies" / name
    overlay = content(study)
    only = overlay.pop("only", {})
    expected = deep_merge(yaml_files.read(params), overlay)
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
    apply(study, params)
    first = params.read_text()
    assert yaml_files.load(first, "params.yaml") == expected
    assert may_be_in(study, first) and not may_be_in(study, (TOP / "params.yaml").read_text())
    read(params)
    apply(study, params)
    assert params.read_text() == first


def test_one_key_changes_one_line_and_comments_stay(params, tmp_path):
    before = params.read_text().splitlines()
    apply(write(tmp_path, "teach: {wifo: {training: {epochs: 7}}}"), params)
    after = params.read_text().splitlines()
    assert len(before) == len(after)
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ["      epochs: 7"]


def test_no_key_of_params_or_a_study_hangs_on_another_one():
    """Below an anchor or alias of YAML `dvc exp run -S` would change nothing, or two keys at once."""
    for path in (TOP / "params.yaml", *(TOP / "studies").glob("*.yaml")):
        tokens = list(YAML().scan(path.read_text()))
        assert not [token for token in tokens if isinstance(token, AnchorToken | AliasToken)], path


def test_a_study_that_shares_by_an_alias_changes_one_place_only(params, tmp_path):
    before = yaml_files.read(params)
    apply(write(tmp_path, "distill: {tiny_wifo: {options: {training: {epochs: 99}}}}"), params)
    after = yaml_files.read(params)
    assert after["distill"]["tiny_wifo"]["options"]["training"]["epochs"] == 99
    assert after["distill"]["csi_alm_light"] == before["distill"]["csi_alm_light"]


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


def test_claims_go_with_what_they_are_about(params, tmp_path):
    before = set(parse(params.read_text(), "p").claims)
    apply(write(tmp_path, "only: {distill: [tiny_wifo]}"), params)
    left = parse(params.read_text(), "p").claims
    assert "csi_alm_light_keeps" in before - set(left) and "tiny_wifo_keeps_time" in left
    apply(write(tmp_path, "only: {pretrain: [wimamba]}"), params)
    left = parse(params.read_text(), "p").claims
    assert "wimamba_pretraining_los" in left
    assert not {"lwm_pretraining_los", "lwm_ahead_of_raw_los"} & set(left)


@pytest.mark.parametrize("text", ["evaluate: {downstream: null}", "only: {scenarios: [munich, uma_nlos, uma_los]}"])
def test_claims_about_tasks_go_with_the_tasks(params, tmp_path, text):
    apply(write(tmp_path, text), params)
    after = parse(params.read_text(), "p")
    assert after.evaluate.downstream is None and not any(isinstance(one, TaskClaim) for one in after.claims.values())
    assert "learnt_ahead_time" in after.claims


def test_tables_go_with_what_they_show(params, tmp_path):
    apply(TOP / "studies/distillation.yaml", params)
    before = set(parse(params.read_text(), "p").tables)
    apply(write(tmp_path, "only: {distill: [tiny_wifo, tiny_wifo_v1, tiny_wifo_v2, tiny_wifo_v3]}"), params)
    assert before - set(parse(params.read_text(), "p").tables) == {"table_1"}


def test_suites_go_with_their_last_data_set(params, tmp_path):
    def left(names):
        apply(write(tmp_path, f"only: {{scenarios: [{', '.join(names)}]}}"), params)
        return parse(params.read_text(), "p").evaluate.prediction.suites

    assert left(["uma_los", "uma_nlos", "umi_28ghz"])["generalisation"].datasets == ["umi_28ghz"]
    assert set(left(["uma_los", "uma_nlos"])) == {"robustness", "robustness_in_frequency"}


def test_only_some_entries_stay(params, tmp_path):
    apply(write(tmp_path, "only: {scenarios: [uma_los, umi_28ghz], pretrain: [], predictors: [prony]}"), params)
    after = yaml_files.read(params)
    assert list(after["scenarios"]) == ["uma_los", "umi_28ghz"]
    assert after["pretrain"] == {} and list(after["predictors"]) == ["prony"]
    assert after["teach"]["wifo"]["held_out"] == ["umi_28ghz"]
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
        ("hold_out: [uma_los]\nteach: {wifo: 3}", r"teach\.wifo: found 3"),
        ("hold_out: [uma_los]\nteach: {wifo: {held_out: null}}", r"teach\.wifo\.held_out: found None"),
        ("hold_out: [berlin]", r"held_out: there is no data set 'berlin', found: munich"),
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
    apply(write(tmp_path, "hold_out: [munich, munich]"), params)
    content = yaml_files.read(params)
    for learners in ("pretrain", "teach"):
        for name, section in content[learners].items():
            assert section["held_out"].count("munich") == 1, name


def test_missing_study_is_named(params, tmp_path):
    with pytest.raises(InputError, match=r"large\.yaml: no such file"):
        apply(tmp_path / "large.yaml", params)


def test_null_is_written_as_null_here_and_nobody_elses_yaml_changes(params, tmp_path):
    before = params.read_text()
    assert ": null" in before
    apply(write(tmp_path, "{}"), params)
    assert params.read_text() == before
    assert dumps_yaml({"a": {"b": None}}) == "a:\n  b:\n"


def test_seed_and_scenarios_of_one_run(params):
    before = params.read_text()
    kept = [name for name in yaml_files.load(before, "params.yaml")["scenarios"] if name != "umi_28ghz"]
    content = yaml_files.load(compose(params=params, seed=3, scenarios=kept), "params.yaml")
    assert params.read_text() == before
    assert content["seed"] == 3
    assert list(content["scenarios"]) == kept
    assert "umi_28ghz" in yaml_files.load(before, "params.yaml")["teach"]["wifo"]["held_out"]
    assert "umi_28ghz" not in content["teach"]["wifo"]["held_out"]
    with pytest.raises(InputError, match=r"'berlin', found: munich"):
        compose(params=params, scenarios=["berlin"])
    with pytest.raises(InputError, match=r"no such file"):
        compose(params.with_name("none.yaml"), params)
