"""evaluate_feedback: a table for each entry, an empty one of what is no codec or where feedback is left out."""

import copy

import numpy as np
import pytest
import torch
import yaml

from stages import evaluate_feedback, inputs, params
from stages.paths import FEEDBACK_ASKED, csi_store, inputs_file, model_folder, samples_file, scores_file
from storage.models.model_folder import save_model
from storage.stores.csi_store import write_store
from storage.tables import read_table
from tests.networks.lmmse.example import smooth
from tests.networks.wifo_cf import example as wifo_cf
from tests.parameters import tiny_parameters
from tests.storage.example import make_dataset
from wavefoundry.errors import InputError
from wavefoundry.evaluation.results import COLUMNS, SAMPLE_COLUMNS, SILENT
from wavefoundry.networks.truncated_angle_delay.model import build
from wavefoundry.networks.truncated_angle_delay.options import Options

FEEDBACK = {
    "rates": [3, 5],
    "snr_db": 20.0,
    "noise_seed": 0,
    "batch_size": 8,
    "beamforming_snr_db": 10.0,
    "uplink": {"snr_db": 10.0, "modulation": "qpsk", "repetitions": 1},
}
CODEC = wifo_cf.options().model_dump(mode="json") | {"family": "wifo_cf", "held_out": ["measured"], "seeds": [0, 1]}
TRUNCATED = {"family": "truncated_angle_delay", "held_out": [], "seeds": [0]}


def content(**changes) -> dict:
    values = tiny_parameters()
    values["teach"] |= {"codec": copy.deepcopy(CODEC), "truncated": dict(TRUNCATED)}
    values["evaluate"]["feedback"] = FEEDBACK | changes
    return values


def parse(values: dict):
    return params.parse(yaml.safe_dump(values), "params.yaml")


def test_codecs_are_known_with_what_they_feed_back():
    parameters = parse(content())
    datasets = list(parameters.datasets)
    assert parameters.codecs == ["codec", "truncated"]
    assert parameters.fed_back("codec") == parameters.fed_back("truncated") == datasets
    assert parameters.feedback_compared == [name for name in datasets if name != "measured"]
    assert parameters.fed_back("wifo") == []
    # A codec answers no question of prediction, and is in nobody's way there.
    assert "codec" not in parameters.answering
    left_out = content()
    left_out["evaluate"]["feedback"] = None
    assert parse(left_out).codecs == [] == parse(left_out).feedback_compared


CLAIM = {"source": "ours", "says": "it is better", "model": "codec", "others": ["truncated"], "bits": 3,
    "datasets": None, "ahead_db": 0.0}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 4}, r"claims\.one\.bits is 4, allowed are evaluate\.feedback\.rates: 3, 5"),
        ({"bits": 0}, r"claims\.one\.\[feedback\]\.bits: found 0"),
        ({"model": "wifo"}, r"claims\.one\.model: 'wifo' is no codec of this study, found: codec, truncated"),
        ({"datasets": ["nowhere"]}, r"claims\.one\.datasets: no data set 'nowhere'"),
        ({"question": "time"}, r"claims\.one.*question"),
    ],
)
def test_claims_about_feedback_are_about_what_there_is(changes, message):
    values = content()
    values["claims"]["one"] = CLAIM
    assert parse(values).claims["one"].bits == 3
    values["claims"]["one"] = CLAIM | changes
    with pytest.raises(InputError, match=message):
        parse(values)
    values["claims"]["one"], values["evaluate"]["feedback"] = CLAIM, None
    with pytest.raises(InputError, match=r"claims\.one\.bits is 3, but evaluate\.feedback is null"):
        parse(values)


@pytest.mark.parametrize("rates", [[0], [13], [3, 3], []])
def test_rates_outside_1_to_12_are_refused_by_name(rates):
    with pytest.raises(InputError, match=r"evaluate\.feedback\.rates"):
        parse(content(rates=rates))


def test_a_data_set_that_the_stride_does_not_divide_is_told():
    values = content()
    values["scenarios"]["uma_nlos"]["twin"]["array"]["columns"] = 3
    parameters = parse(values)
    told = [line for line in parameters.left_out if line.startswith("codec")]
    assert told == ["codec does not learn from uma_nlos: its 3 antennas are less than the codec's stride 4"]
    assert "uma_nlos" not in parameters.fed_back("codec") and "uma_nlos" in parameters.fed_back("truncated")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """One store, of sequences, and the folders of two codecs."""
    monkeypatch.chdir(tmp_path)
    values = content()
    values["scenarios"] = {"uma_nlos": values["scenarios"]["uma_nlos"]}
    values["imported"], values["pretrain"], values["distill"] = {}, {}, {}
    values["evaluate"]["downstream"] = None
    values["teach"]["codec"]["held_out"] = []
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    data = make_dataset(samples=12)
    sequences = smooth(12, 4, 8, 16).numpy()
    data = data.drop_vars("csi").assign(csi=(("sample", "time", "antenna", "subcarrier"), sequences, data["csi"].attrs))
    csi_store("uma_nlos").parent.mkdir(parents=True)
    write_store(csi_store("uma_nlos"), data, "csi")
    for seed in (0, 1):
        save_model(wifo_cf.wifo_cf(seed), model_folder("codec", seed))
    save_model(build(Options(), 1.0), model_folder("truncated", 0))
    return params.read()


def test_rows_are_those_of_the_first_slot_at_every_rate(study):
    rows, samples = evaluate_feedback.score_all(study, "codec")
    assert {(row["question"], row["split"], row["seed"]) for row in rows} == {
        (f"{rate} bits", split, seed) for rate in (3, 5) for split in ("validation", "test") for seed in (0, 1)
    }
    bits = {row["question"]: row["value"] for row in rows if row["metric"] == "bits"}
    assert bits == {"3 bits": 24, "5 bits": 40}
    # Later slots make no difference.
    data = make_dataset(samples=12)
    sequences = smooth(12, 4, 8, 16).numpy()
    sequences[:, 1:] = 7
    data = data.drop_vars("csi").assign(csi=(("sample", "time", "antenna", "subcarrier"), sequences, data["csi"].attrs))
    write_store(csi_store("uma_nlos"), data, "csi")
    assert evaluate_feedback.score_all(study, "codec")[0] == rows
    # The mean of the samples is the figure of the table.
    means = {(part["question"], part["seed"], part["split"]): part["nmse"].mean() for part in samples}
    told = {(row["question"], row["seed"], row["split"]): row["value"] for row in rows if row["metric"] == "nmse"}
    assert means == pytest.approx(told) and len(told) == 8


def test_samples_without_power_are_left_out_and_counted(study, capsys):
    before, samples_before = evaluate_feedback.score_all(study, "truncated")
    assert SILENT not in {row["metric"] for row in before}
    numbers = next(part["sample"] for part in samples_before if part["split"] == "test")
    data = make_dataset(samples=12)
    sequences = smooth(12, 4, 8, 16).numpy()
    sequences[numbers[0], 0] = 0
    data = data.drop_vars("csi").assign(csi=(("sample", "time", "antenna", "subcarrier"), sequences, data["csi"].attrs))
    write_store(csi_store("uma_nlos"), data, "csi")
    rows, samples = evaluate_feedback.score_all(study, "truncated")
    [told] = [row for row in rows if row["metric"] == SILENT]
    assert (told["split"], told["value"], told["samples"]) == ("test", 1, len(numbers))
    assert f"1 of {len(numbers)} samples are left out of all scores, the first of them sample {numbers[0]}" in (
        capsys.readouterr().out
    )
    assert np.isfinite([row["value"] for row in rows]).all()
    for part in samples:
        assert np.isfinite(part["nmse"]).all() and numbers[0] not in part["sample"]


def test_more_bits_are_better_for_the_classical_codec(study):
    rows, _ = evaluate_feedback.score_all(study, "truncated")
    values = {
        row["question"]: row["value"] for row in rows if (row["metric"], row["split"]) == ("nmse_error_free", "test")
    }
    assert values["5 bits"] < values["3 bits"] < 1


@pytest.mark.parametrize(("name", "count"), [("codec", 2 * 2 * 2 * 6), ("wifo", 0)])
def test_the_stage_writes_a_table_also_of_what_is_no_codec(study, monkeypatch, name, count):
    monkeypatch.setattr("sys.argv", ["evaluate_feedback", "teach", name])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{study.__class__.__name__.lower()}.db")
    if name == "wifo":
        model_folder(name, 0).mkdir(parents=True)
    for what in ("fed_back", "code"):
        inputs_file(name, what).parent.mkdir(parents=True, exist_ok=True)
        inputs_file(name, what).write_text("{}\n")
    threads = torch.get_num_threads()
    evaluate_feedback.main()
    torch.set_num_threads(threads)
    table = read_table(scores_file("feedback", name), COLUMNS)
    assert len(table) == count
    assert np.isfinite(table["value"]).all()
    samples = read_table(samples_file("feedback", name), SAMPLE_COLUMNS)
    assert samples["nmse"].notna().all() and samples.empty == (not count)


def test_inputs_tell_what_is_fed_back_and_keep_the_folder_of_tables(study, monkeypatch):
    monkeypatch.setattr("sys.argv", ["inputs"])
    inputs.main()
    assert yaml.safe_load(FEEDBACK_ASKED.read_text()) == {"codec": ["uma_nlos"], "truncated": ["uma_nlos"]}
    assert list(yaml.safe_load(inputs_file("codec", "fed_back").read_text())) == ["uma_nlos"]
    assert yaml.safe_load(inputs_file("wifo", "fed_back").read_text()) == {}
