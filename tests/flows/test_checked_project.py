"""The flow refuses what stage `params` refuses at the start of every run, before it shows or runs any stage."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.pipeline import pipeline
from tests.pipeline.conftest import Study, study_parameters


@pytest.fixture
def project(tmp_path, monkeypatch):
    study = Study(tmp_path, study_parameters())
    monkeypatch.chdir(tmp_path)
    return study


def test_a_dependency_removed_by_hand_is_refused_before_the_stage_that_dvc_would_run_for_it(server, project):
    assert pipeline(["params"], return_state=True).is_completed()
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("        - wavefoundry/csi/path_response.py\n", "", 1))
    with Repo(".") as repo:
        assert repo.status(["params"]) == {"params": [{"changed deps": {"stages": "modified"}}]}
    state = pipeline(["params"], return_state=True)
    assert state.is_failed()
    assert state.message.startswith("dvc.yaml: stages.csi.deps does not name wavefoundry/csi/path_response.py")
    Path("dvc.yaml").write_text(text)
    assert pipeline(["params"], return_state=True).is_completed()


def test_a_key_of_which_dvc_makes_stages_is_told_in_our_words(project):
    content = study_parameters()
    del content["distill"]["tiny_wifo"]["teacher"]
    project.write_parameters(content)
    result = project.run("-m", "flows.pipeline", "params")
    assert (result.returncode, result.stdout) == (1, "params.yaml: distill.tiny_wifo.teacher: missing\n")
