"""A complete DAG on tiny parameters: every stage once, nothing again, the registry's model elsewhere.

That a run in another folder is equivalent, to the byte, is shown in test_kills.py.
"""

import json
import re

import pandas
import pytest

from stages.yaml_files import read_dag
from tests.pipeline.conftest import study_parameters

SCENARIOS = ("street_canyon", "canyon")
DATA_STAGES = {f"{stage}@{name}" for stage in ("scenario", "csi", "angle_delay") for name in SCENARIOS}


def is_measured(path):
    """What differs from run to run by nature: latencies, numbers of versions, and the page that quotes them."""
    return path == "report" or path.startswith("measurements/")


def test_every_stage_runs_once_and_then_nothing(study):
    assert set(study.first_run) > DATA_STAGES
    assert len(study.first_run) == len(set(study.first_run)) == len(study.digests()) - _extra_outputs(study)
    assert study.repro() == []


def _extra_outputs(study):
    lock = read_dag(study.folder / "dvc.lock")
    return sum(len(stage.get("outs", ())) - 1 for stage in lock["stages"].values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angle_delay": {"delay_fraction": 0.0}}, "angle_delay.delay_fraction: found 0.0"),
        ({"sede": 1}, "sede: unknown key"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_removed(study, change, message):
    before = study.digests()
    study.write_parameters(study_parameters() | change)
    result = study.dvc("repro")
    study.write_parameters(study_parameters())
    assert result.returncode != 0 and message in result.stdout
    assert all((study.folder / path).exists() for path in before)
    assert study.repro() in ([], ["params"])


def test_a_dag_that_misses_code_is_refused_before_anything_is_removed(study):
    before, dag = study.digests(), study.folder / "dvc.yaml"
    text, line = dag.read_text(), "        - wavefoundry/csi/path_response.py\n"
    dag.write_text(text.replace(line, "", 1))
    result = study.dvc("repro")
    dag.write_text(text)
    assert result.returncode != 0 and "stages.csi.deps does not name wavefoundry/csi/path_response.py" in result.stdout
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
    source, target = study.folder / "data/csi/street_canyon.zarr", study.folder / "data/angle_delay/street_canyon.zarr"
    source.rename(aside)
    result = study.run("-m", "stages.angle_delay", "street_canyon")
    aside.rename(source)
    assert result.returncode == 1
    assert "dependency data/csi/street_canyon.zarr does not exist" in result.stdout and "Traceback" not in result.stdout
    study.dvc("checkout")
    assert target.exists()


def test_a_store_cut_short_is_one_error_and_no_output(study):
    shards = study.folder / "data/csi/street_canyon.zarr/csi/c"
    shard = next(path for path in shards.rglob("*") if path.is_file())
    whole = shard.read_bytes()
    shard.unlink()  # may be a link into the cache
    shard.write_bytes(whole[: len(whole) // 2])
    result = study.run("-m", "stages.angle_delay", "street_canyon")
    shard.write_bytes(whole)
    assert result.returncode == 1
    assert f"csi/c/{shard.relative_to(shards)} has {len(whole) // 2} bytes, expected {len(whole)}" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (study.folder / "data/angle_delay/street_canyon.zarr").exists()
    assert study.dvc("checkout").returncode == 0


def test_champion_predicts_in_a_fresh_process_as_it_was_evaluated(study):
    code = """
import json, mlflow, numpy as np, torch
from stages import params
from stages.questions import question_about
from stages.loading import load_split
from wavefoundry.evaluation.metrics import nmse, to_db
parameters = params.read()
for name in ("tiny_wifo", "predictor"):
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    errors = []
    for dataset in parameters.compared["time"]:
        question = question_about(parameters, "time", dataset)
        known, target, (slots, subcarriers) = question.split(load_split(dataset, "test"))
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
    summary = json.loads((study.folder / "metrics/summary.json").read_text())["prediction"]
    best = json.loads((study.folder / "measurements/registry.json").read_text())["predictor"]["entry"]
    for line, name in zip(output.splitlines()[-2:], ("tiny_wifo", best), strict=True):
        assert json.loads(line) == pytest.approx(summary[name]["time_nmse_db"], abs=1e-3)


def test_a_page_of_results_quotes_the_tables(study, tmp_path):
    result = study.run("-m", "stages.results_page", str(tmp_path / "docs/page.md"), "--title", "A study")
    assert result.returncode == 0, result.stdout
    page = (tmp_path / "docs/page.md").read_text()
    assert page.startswith("# A study\n") and "logical cores" in page
    found = pandas.read_csv(study.folder / "metrics/differences.csv")
    for row in found[found["other"].isna()].itertuples():
        assert f"{row.difference_db:.2f} [{row.low_db:.2f}, {row.high_db:.2f}]" in page
    for heading in ("Models", "NMSE over the horizon, speed and SNR", "Downstream tasks", "Claims"):
        assert f"\n\n## {heading}\n\n" in page
    assert "![" not in page and "\n\n\n" not in page


def test_report_is_complete_and_self_contained(study):
    page = (study.folder / "report/report.html").read_text()
    for name in ("sample_and_hold", "lwm_temporal", "wifo", "tiny_wifo"):
        assert f"<td>{name}</td>" in page
    # Pictures in base64 spell any word by chance.
    text = re.sub("base64,[A-Za-z0-9+/=]+", "", page).replace("http://www.w3.org", "")
    assert 'src="figures' not in page and "http" not in text
    assert page.count("data:image/png;base64") >= 7 and page.count("data:image/gif;base64") == 5
