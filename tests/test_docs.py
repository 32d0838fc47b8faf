"""What the docs name is there: versions, files, and the targets of make; and their examples run as they are written."""

import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from fastapi.testclient import TestClient
from pandas.testing import assert_series_equal

from storage.stores.csi_store import write_store
from storage.tables import write_table
from storage.tracking.registry import CHAMPION, Registry, Version, load
from tests.deployment.drawn import channel
from tests.evaluation.tables import scores
from tests.networks.spectral_predictor.example import spectral_predictor
from tests.networks.wifo.example import plainly_drawn, wifo
from tests.stages.registration import register
from tests.storage.example import make_dataset
from wavefoundry.deployment.quantisation import quantise
from wavefoundry.evaluation.paired import DIFFERENCE_COLUMNS
from wavefoundry.evaluation.results import SAMPLE_COLUMNS
from wavefoundry.networks.family import serving_module

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_versions_are_those_of_the_environment(page):
    pinned = (PROJECT / "requirements.lock").read_text().lower().splitlines()
    for named in re.findall(r"\b[a-z][a-z0-9_-]*==[0-9][0-9.]*\b", page.read_text()):
        assert named in pinned


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


def headings(file):
    """Names of a page's headings, as they are linked."""
    found = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_make_and_of_the_project_are_there(page):
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    text = page.read_text()
    for named in re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE):
        assert named in targets, named
    for module in re.findall(r"python -m ((?:flows|stages|storage|benchmarks)(?:\.[a-z_]+)*)\b(?!\.)", text):
        file = PROJECT / module.replace(".", "/")
        assert file.with_suffix(".py").exists() or (file / "__main__.py").exists(), module


def test_make_help_lists_what_people_call():
    text = (PROJECT / "Makefile").read_text()
    told = set(re.findall(r"^([a-z-]+):.* ## ", text, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert told == phony


def examples(page: str) -> list[tuple[str, str | None]]:
    """The Python of a page of the docs, block by block, each with what the page says that it prints."""
    pattern = r"```python\n(.*?)```\n(?:\nThis prints `([^`]*)`)?"
    return re.findall(pattern, (PROJECT / "docs" / page).read_text(), re.DOTALL)


def run(example: tuple[str, str | None], names: dict, capsys) -> str:
    """What a block prints, which is what the page says."""
    code, told = example
    exec(code, names)
    printed = capsys.readouterr().out
    assert not told or printed == f"{told}\n"
    return printed


def test_the_example_of_the_data_contract_opens_a_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written = make_dataset()
    write_store(Path("data/csi/munich.zarr"), written, "csi")
    (example,), names = examples("data-contract.md"), {}
    run(example, names, capsys)
    np.testing.assert_array_equal(names["csi"]["csi"].values, written["csi"].values)


def test_the_examples_of_reading_the_results_find_what_they_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = {("wifo", 0, "munich", "time"): 0.2, ("wifo", 1, "munich", "time"): 0.4, ("wifo", 0, "town", "both"): 0.7}
    write_table(Path("metrics/results.csv"), pandas.concat([scores(values), scores(values, "validation")]))
    common = {"model": "spectral_predictor", "question": "time"}
    samples = pandas.DataFrame(
        [
            common | {"dataset": dataset, "split": split, "sample": sample, "nmse": nmse}
            for split, shift in (("test", 0), ("validation", 1))
            for dataset, first in (("munich", 0.1), ("town", 0.5))
            for sample, nmse in enumerate(first + shift + 0.1 * np.arange(5))
        ],
        columns=list(SAMPLE_COLUMNS),
    )
    write_table(Path("metrics/samples/spectral_predictor.csv"), samples)
    differences = pandas.DataFrame(
        [
            ("time", "wifo", None, -20.0, -21.0, -19.0),
            ("time", "wifo", "autoregression", -1.0, -2.0, -0.5),
            ("both", "wifo", "autoregression", -1.0, -2.0, 0.5),
            ("both", "gru", "autoregression", 1.0, 0.5, 2.0),
        ],
        columns=list(DIFFERENCE_COLUMNS),
    )
    write_table(Path("metrics/differences.csv"), differences)

    (results, of_samples, of_differences), names = examples("reading-the-results.md"), {}
    printed = run(results, names, capsys)
    assert len(names["asked"]) == 3
    assert re.search(r"^wifo +0\.3 +0\.7$", printed, re.MULTILINE)  # the mean over two seeds, and the only one
    run(of_samples, names, capsys)
    index = pandas.MultiIndex.from_product([["munich", "town"], [0.5, 0.9]], names=["dataset", None])
    expected = pandas.Series([0.3, 0.46, 0.7, 0.86], index, name="nmse")
    assert_series_equal(names["tested"].groupby("dataset").nmse.quantile([0.5, 0.9]), expected)
    run(of_differences, names, capsys)
    assert names["sure"][["question", "model", "other"]].values.tolist() == [["time", "wifo", "autoregression"]]


@pytest.fixture
def served(tmp_path, monkeypatch) -> dict[str, Version]:
    """Small networks in the registry of an empty folder, one of them in INT8 too; the versions by name."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    versions, known = {}, channel(2, 4, 2, 6)
    networks = {"tiny_wifo": plainly_drawn(wifo()), "spectral_predictor": spectral_predictor()}
    for name, network in networks.items():
        family = "wifo" if name == "tiny_wifo" else name
        forms = {"served": tmp_path / name / "served"}
        serving_module(family).export(network.eval(), forms["served"])
        if family == "wifo":
            forms["int8"] = tmp_path / name / "int8"
            quantise(forms["served"], [(known, (2, 0))], forms["int8"])
        versions[name] = register(name, forms, known.view(np.float32).reshape(*known.shape, 2))
        Registry().set_alias(versions[name], CHAMPION)
    return versions


def test_the_examples_of_deploying_run_as_they_are_written(served, tmp_path, monkeypatch, capsys):
    import requests
    from mlflow.artifacts import download_artifacts
    from mlflow.pyfunc import scoring_server

    server = TestClient(scoring_server.init(load(served["tiny_wifo"])), base_url="http://127.0.0.1:5100")
    monkeypatch.setattr(requests, "post", server.post)
    stored = make_dataset()
    write_store(tmp_path / "data/csi/munich.zarr", stored, "csi")
    download_artifacts(served["tiny_wifo"].uri, dst_path="tiny_wifo")

    names: dict = {}
    predicting, reading, plain, with_error, int8, over_http = (
        (code.replace("/PATH/TO/PROJECT", str(tmp_path)), told) for code, told in examples("deploying.md")
    )
    capsys.readouterr()
    run(predicting, names, capsys)
    run(reading, names, capsys)
    tested = stored["csi"].values[stored["split"].values == 2]
    np.testing.assert_array_equal(names["known"], tested[:4, :8, :, :16])
    assert run(plain, names, capsys).startswith("(1, 8, 16, 32, 2) ['the predictor takes ")
    run(with_error, names, capsys)
    samples, _, antennas, subcarriers = names["known"].shape
    assert names["future"].shape == (samples, 8, antennas, subcarriers)
    assert names["error"].shape == (samples, 8, subcarriers) and (names["error"] > 0).all()
    run(int8, names, capsys)
    asked = {"params": {"slots": 2, "subcarriers": 0}}
    eight, single = (model.predict(names["known"], **asked) for model in (names["model"], load(served["tiny_wifo"])))
    assert 0 < np.linalg.norm(eight - single) < 0.2 * np.linalg.norm(single)
    run(over_http, names, capsys)
