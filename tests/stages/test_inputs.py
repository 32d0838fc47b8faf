"""Stage inputs: what a stage depends on and does not import stands in the files that it depends on."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from stages import inputs
from stages.dependencies import closure
from stages.schema import Params
from stages.yaml_files import read_dag
from tests.networks.csi_alm import example as csi_alm
from tests.networks.csi_alm_light import example as csi_alm_light
from tests.parameters import FILE, PROJECT, tiny_parameters

STAGES = read_dag(PROJECT / "dvc.yaml")["stages"]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes the files anew; their texts by path. Stores are not there, and have the same digest."""
    for package in ("stages", "storage", "wavefoundry"):
        (tmp_path / package).symlink_to(PROJECT / package)
    shutil.copy(FILE, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["inputs"])
    monkeypatch.setattr(inputs, "digest", lambda path: f"md5 of {path}")

    def write():
        inputs.main()
        found = [path for folder in ("data/inputs", "metrics") for path in Path(folder).rglob("*.json")]
        return {path.relative_to(path.parts[0]).as_posix(): path.read_text() for path in found}

    return write


def changed(written, monkeypatch, name, replacement):
    """Files that are other ones when a derived fact of the parameters is another one.

    Args:
        name: of the method or property of `Params`.
        replacement: takes what it gives otherwise, and its arguments after the parameters.
    """
    before = written()
    true = getattr(Params, name)
    if callable(true):
        false = lambda self, *arguments: replacement(true(self, *arguments), *arguments)  # noqa: E731
    else:
        get = true.func if hasattr(true, "func") else true.fget
        false = property(lambda self: replacement(get(self)))
    monkeypatch.setattr(Params, name, false)
    after = written()
    assert before.keys() == after.keys()
    return {path for path in before if before[path] != after[path]}


def dependencies(stage):
    definition = STAGES[stage]
    return set(definition.get("do", definition)["deps"])


def test_an_answer_that_is_another_one_is_seen_by_the_stages_that_ask_for_it(written, monkeypatch):
    def unanswered(reason, name, question, dataset):
        return "so" if (name, question, dataset) == ("wifo", "both", "uma_nlos") else reason

    assert changed(written, monkeypatch, "why_not_predict", unanswered) == {
        "inputs/wifo/scored.json",
        "inputs/compared.json",
        "inputs/answered.json",
    }


def test_what_is_asked_under_other_conditions_is_seen_by_the_evaluation(written, monkeypatch):
    found = changed(
        written, monkeypatch, "answered_in", lambda pairs, suite, name: [] if name == "tiny_wifo" else pairs
    )
    assert found == {"inputs/tiny_wifo/scored.json"}


@pytest.mark.parametrize("name", ["compared", "feedback_compared"])
def test_the_data_sets_of_a_mean_are_seen_by_comparison_and_report(written, monkeypatch, name):
    other = {"compared": {"time": ["measured"]}, "feedback_compared": ["measured"]}[name]
    assert changed(written, monkeypatch, name, lambda _: other) == {"inputs/compared.json"}
    for stage in ("compare", "report"):
        assert "data/inputs/compared.json" in dependencies(stage)


def test_an_edit_of_a_message_is_seen_by_the_report_alone(written, monkeypatch):
    found = changed(written, monkeypatch, "why_not_learn", lambda reason, *_: reason and f"{reason}, sadly")
    assert found == {"inputs/answered.json"}
    assert {stage for stage in STAGES if "data/inputs/answered.json" in dependencies(stage)} == {"report"}


def test_what_has_learnt_from_what_is_seen_by_its_training_and_the_report(written, monkeypatch):
    def held_out(reason, name, dataset):
        return "so" if (name, dataset) == ("lwm", "canyon") else reason

    assert changed(written, monkeypatch, "why_not_learn", held_out) == {
        "inputs/lwm/stores.json",
        "inputs/answered.json",
    }


def test_what_is_embedded_is_seen_by_the_downstream_evaluation(written, monkeypatch):
    found = changed(written, monkeypatch, "embedded", lambda datasets, name: [] if name == "lwm" else datasets)
    assert found == {"inputs/lwm/embedded.json"}
    for group in ("pretrain", "teach", "distill"):
        assert "data/inputs/${key}/embedded.json" in dependencies(f"evaluate_downstream_{group}")


def test_every_file_is_a_dependency_and_every_dependency_a_file(written):
    files = {
        re.sub(r"inputs/\w+/", "inputs/${key}/", f"data/{path}") for path in written() if path.startswith("inputs/")
    }
    named = {path for stage in STAGES for path in dependencies(stage) if path.startswith("data/inputs/")}
    # The registry depends on the folder, and so on this one.
    assert files == named | {"data/inputs/${key}/serving.json"}
    assert "data/inputs" in dependencies("register")


def test_a_stage_that_finds_tasks_by_name_depends_on_their_code():
    """Their classes say what a metric is called, and which way it is better."""
    finder = Path("wavefoundry/evaluation/downstream/task.py")
    asking = {stage for stage in STAGES if finder.as_posix() in dependencies(stage)}
    assert {"compare", "report", "evaluate_downstream_raw"} <= asking
    for stage in asking:
        assert {"data/inputs/tasks.json", "data/inputs"} & dependencies(stage), stage


def test_a_student_depends_on_the_code_of_its_teacher_where_it_has_an_objective(monkeypatch):
    monkeypatch.chdir(PROJECT)
    content = tiny_parameters()
    teacher = csi_alm.options().model_dump() | {"language_model": "tiny_llama"}
    content["teach"]["csi_alm"] = {"family": "csi_alm", "held_out": [], "seeds": [0]} | teacher
    student = {
        "family": "csi_alm_light",
        "teacher": "csi_alm",
        "options": csi_alm_light.options().model_dump(),
        "seeds": [0],
    }
    objective = {"kind": "attention_relations", "weight": 0.1, "relation_heads": 4}
    content["distill"] |= {"taught": student | {"objective": objective}, "alone": student | {"objective": None}}
    parameters = Params.model_validate(content)

    def code(name):
        return {file.as_posix() for file in closure(inputs.model_modules(parameters, name))}

    own = "wavefoundry/networks/csi_alm_light/model.py"
    shown = {f"wavefoundry/networks/csi_alm/{name}.py" for name in ("model", "alignment")}
    assert {own, *shown, "wavefoundry/objectives/attention_relations/training.py"} <= code("taught")
    assert own in code("alone") and not shown & code("alone")
