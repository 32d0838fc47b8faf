"""The whole DAG on tiny parameters: what runs when, the same bytes again, the registry's model elsewhere."""

import copy
import json
import re
import shutil

import pandas
import pytest
import yaml

from tests.pipeline.conftest import tiny_parameters, write_measurement

SCENARIOS = ("street_canyon", "uma_nlos", "canyon", "canyon_28ghz")
# Stages that look at everything and take a second.
CHEAP = {"params", "inputs"}
PREDICTORS = [
    ("predictors", "sample_and_hold"),
    ("predictors", "autoregression"),
    ("pretrain", "lwm_temporal"),
    ("teach", "wifo"),
    ("distill", "tiny_wifo"),
    ("distill", "tiny_wifo_no_kd"),
]
DATA_STAGES = {f"{stage}@{name}" for stage in ("scenario", "csi", "angle_delay") for name in SCENARIOS}


def is_measured(path):
    """What differs from run to run by nature: latencies, numbers of versions, and the page that quotes them."""
    return path == "report" or path.startswith("measurements/")


def test_every_stage_runs_once_and_then_nothing(study):
    assert set(study.first_run) > DATA_STAGES
    assert len(study.first_run) == len(set(study.first_run)) == len(study.digests()) - _extra_outputs(study)
    assert study.repro() == []


def _extra_outputs(study):
    lock = yaml.safe_load((study.folder / "dvc.lock").read_text())
    return sum(len(stage.get("outs", ())) - 1 for stage in lock["stages"].values())


def test_everything_deleted_and_run_again_gives_the_same_bytes(study):
    before = study.digests()
    for name in ("data", "models", "history", "metrics", "measurements", "figures", "report", ".dvc/cache", ".mlflow"):
        shutil.rmtree(study.folder / name)
    (study.folder / "dvc.lock").unlink()
    study.flow()
    after = study.digests()
    assert {path: md5 for path, md5 in after.items() if not is_measured(path)} == {
        path: md5 for path, md5 in before.items() if not is_measured(path)
    }


def test_a_changed_number_runs_its_branch_and_no_other(study):
    content = tiny_parameters()
    content["scenarios"]["uma_nlos"]["twin"]["speed"] = [2.0, 13.0]
    study.write_parameters(content)
    ran = study.repro("angle_delay@street_canyon", "angle_delay@uma_nlos")
    assert set(ran) == {"params", "scenario@uma_nlos", "csi@uma_nlos", "angle_delay@uma_nlos"}
    content["scenarios"]["uma_nlos"]["ofdm"]["timing_advance"] = 3.0e-7
    study.write_parameters(content)
    assert set(study.repro("angle_delay@uma_nlos")) == {"params", "csi@uma_nlos", "angle_delay@uma_nlos"}
    study.repro("inputs")
    assert {"teach@wifo", "pretrain@lwm_temporal"} <= set(_changed(study))
    study.write_parameters(tiny_parameters())
    # Back to what was run before: everything comes from the cache.
    study.repro()


def test_a_changed_number_of_a_student_runs_what_is_of_this_student_alone(study):
    content = tiny_parameters()
    content["distill"]["tiny_wifo"]["options"]["training"] = {"learning_rate": 1.0e-3}
    study.write_parameters(content)
    ran = set(study.flow()) - CHEAP
    assert ran == {
        "distill@tiny_wifo",
        "evaluate_prediction_distill@tiny_wifo",
        "evaluate_downstream_distill@tiny_wifo",
        "evaluate_efficiency_distill@tiny_wifo",
        "compare",
        "register",
        "report",
    }
    study.write_parameters(tiny_parameters())
    study.repro()


def test_a_data_set_that_every_entry_holds_out_is_one_more_column_and_no_training(study):
    before = study.digests()
    content = tiny_parameters()
    content["scenarios"]["later"] = copy.deepcopy(content["scenarios"]["uma_nlos"])
    content["scenarios"]["later"]["twin"]["line_of_sight"] = True
    for entry in (*content["pretrain"].values(), *content["teach"].values()):
        entry["held_out"] = ["later"]
    study.write_parameters(content)
    ran = set(study.flow())
    trainings = {name for name in ran if name.partition("@")[0] in ("pretrain", "teach", "distill")}
    after = study.digests()
    assert not trainings
    assert {path: md5 for path, md5 in after.items() if path in before and path.startswith("models/")} == {
        path: md5 for path, md5 in before.items() if path.startswith("models/")
    }
    assert {f"evaluate_prediction_{group}@{name}" for group, name in PREDICTORS} <= ran
    results = pandas.read_csv(study.folder / "metrics/results.csv")
    seen = results[(results["evaluation"] == "prediction") & (results["dataset"] == "later")]
    assert set(seen["model"]) == {name for _, name in PREDICTORS}
    study.write_parameters(tiny_parameters())
    study.repro()
    for path in ("data/scenario/later", "data/csi/later.zarr", "data/angle_delay/later.zarr", "figures/scenario/later"):
        shutil.rmtree(study.folder / path, ignore_errors=True)


def test_two_networks_of_one_family_and_two_students_of_them_stand_in_one_study(study):
    content = tiny_parameters()
    wide = copy.deepcopy(content["teach"]["wifo"])
    wide["architecture"]["hidden_size"] = 64
    content["teach"]["wide_wifo"] = wide
    student = copy.deepcopy(content["distill"]["tiny_wifo"])
    content["distill"]["tiny_wide"] = student | {
        "teacher": "wide_wifo",
        "options": {"architecture": {"hidden_size": 32}},
    }
    study.write_parameters(content)
    ran = {name for name in study.flow() if "@" in name}
    assert ran == {
        f"{stage}@{name}"
        for group, name in (("teach", "wide_wifo"), ("distill", "tiny_wide"))
        for stage in (group, *(f"evaluate_{what}_{group}" for what in ("prediction", "downstream", "efficiency")))
    }
    results = pandas.read_csv(study.folder / "metrics/results.csv")
    sizes = results[results["metric"] == "parameters"].set_index("model")["value"]
    assert sizes["tiny_wifo"] < sizes["wifo"] == sizes["tiny_wide"] < sizes["wide_wifo"]
    page = (study.folder / "report/report.html").read_text()
    assert all(f"<td>{name}</td>" in page for name in ("wifo", "wide_wifo", "tiny_wifo", "tiny_wide"))
    decisions = json.loads((study.folder / "measurements/registry.json").read_text())
    assert {"wifo", "wide_wifo", "tiny_wifo", "tiny_wide"} <= set(decisions)
    study.write_parameters(tiny_parameters())
    study.repro()


def _changed(study):
    return json.loads(study.dvc("status", "--json").stdout.splitlines()[-1])


def test_a_new_entry_adds_one_branch(study):
    lock = (study.folder / "dvc.lock").read_text()
    content = tiny_parameters()
    content["scenarios"]["uma_los"] = content["scenarios"]["uma_nlos"] | {
        "twin": content["scenarios"]["uma_nlos"]["twin"] | {"line_of_sight": True}
    }
    study.write_parameters(content)
    ran = study.repro("angle_delay")
    assert set(ran) == {"params", "scenario@uma_los", "csi@uma_los", "angle_delay@uma_los"}
    study.write_parameters(tiny_parameters())
    for path in ("data/scenario/uma_los", "data/csi/uma_los.zarr", "data/angle_delay/uma_los.zarr"):
        shutil.rmtree(study.folder / path)
    shutil.rmtree(study.folder / "figures/scenario/uma_los")
    (study.folder / "figures/angle_delay/uma_los.gif").unlink()
    (study.folder / "dvc.lock").write_text(lock)
    assert study.repro() in ([], ["params"])


def test_a_replaced_file_runs_its_branch_and_no_other(study):
    write_measurement(study.folder / "measured.npz", seed=1)
    ran = study.repro("angle_delay", "imported_angle_delay")
    assert set(ran) == {"import@measured", "imported_angle_delay@measured"}
    study.repro("inputs")
    assert "teach@wifo" in _changed(study)
    write_measurement(study.folder / "measured.npz", seed=0)
    study.repro()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angle_delay": {"delay_fraction": 0.0}}, "angle_delay.delay_fraction: found 0.0"),
        ({"sede": 1}, "sede: unknown key"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_removed(study, change, message):
    before = study.digests()
    study.write_parameters(tiny_parameters() | change)
    result = study.dvc("repro")
    study.write_parameters(tiny_parameters())
    assert result.returncode != 0 and message in result.stdout
    assert all((study.folder / path).exists() for path in before)
    assert study.repro() in ([], ["params"])


def test_pulled_results_are_up_to_date(study, tmp_path):
    """Pushed to a remote and pulled by somebody else, nothing runs there."""
    remote = tmp_path / "remote"
    assert study.dvc("push", "-q", "-r", study.remote(remote)).returncode == 0
    other = study.clone(tmp_path / "other")
    assert other.dvc("pull", "-q", "-r", other.remote(remote)).returncode == 0
    assert other.repro() == []
    assert other.digests() == study.digests()


def test_a_stage_without_its_input_says_so_and_leaves_nothing(study):
    aside = study.folder / "aside.zarr"
    source, target = study.folder / "data/csi/uma_nlos.zarr", study.folder / "data/angle_delay/uma_nlos.zarr"
    source.rename(aside)
    result = study.run("-m", "stages.angle_delay", "uma_nlos")
    aside.rename(source)
    assert result.returncode == 1
    assert "dependency data/csi/uma_nlos.zarr does not exist" in result.stdout and "Traceback" not in result.stdout
    study.dvc("checkout")
    assert target.exists()


def test_a_store_cut_short_is_one_error_and_no_output(study):
    shard = next(path for path in (study.folder / "data/csi/uma_nlos.zarr/csi/c").rglob("*") if path.is_file())
    whole = shard.read_bytes()
    shard.unlink()  # may be a link into the cache
    shard.write_bytes(whole[: len(whole) // 2])
    result = study.run("-m", "stages.angle_delay", "uma_nlos")
    shard.write_bytes(whole)
    assert result.returncode == 1 and "'csi' is damaged or cut short" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (study.folder / "data/angle_delay/uma_nlos.zarr").exists()
    assert study.dvc("checkout").returncode == 0


def test_champion_predicts_in_a_fresh_process_as_it_was_evaluated(study):
    code = """
import json, mlflow, numpy as np, torch
from stages import params
from stages.evaluate_prediction import questions
from stages.loading import load_split
from wavefoundry.evaluation.metrics import nmse, to_db
parameters = params.read()
model = mlflow.pyfunc.load_model("models:/tiny_wifo@champion")
errors = []
for dataset in parameters.compared:
    known, target, (slots, subcarriers) = questions(parameters)["time"].split(load_split(dataset, "test"))
    two = torch.stack([known.real, known.imag], dim=1).numpy()
    real, imaginary = model.predict(two, params={"slots": slots, "subcarriers": subcarriers}).swapaxes(0, 1)
    errors.append(nmse(torch.from_numpy(real + 1j * imaginary), target).mean().item())
print(json.dumps(to_db(float(np.mean(errors)))))
"""
    process = study.start(
        "-c", f"import os; os.environ['MLFLOW_TRACKING_URI'] = 'sqlite:///{study.folder}/.mlflow/mlflow.db'\n{code}"
    )
    output = process.communicate()[0]
    assert process.returncode == 0, output
    expected = json.loads((study.folder / "metrics/summary.json").read_text())["prediction"]["tiny_wifo"]
    assert json.loads(output.splitlines()[-1]) == pytest.approx(expected["time_nmse_db"], abs=1e-3)


def test_report_is_complete_and_self_contained(study):
    page = (study.folder / "report/report.html").read_text()
    for name in (
        "sample_and_hold", "autoregression", "lwm_temporal", "wimamba", "lwm", "wifo", "tiny_wifo", "tiny_wifo_no_kd",
    ):  # fmt: skip
        assert f"<td>{name}</td>" in page
    # Pictures in base64 spell any word by chance.
    text = re.sub("base64,[A-Za-z0-9+/=]+", "", page).replace("http://www.w3.org", "")
    assert 'src="figures' not in page and "http" not in text
    assert page.count("data:image/png;base64") >= 7 and page.count("data:image/gif;base64") == 8
