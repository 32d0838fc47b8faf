"""Data of two carriers become labelled snapshots, or are refused by name; the table that each entry writes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
import xarray as xr
import yaml

from stages import evaluate_downstream, params
from stages.paths import TASKS, embedder_folder, inputs_file, scores_file
from stages.schema import Params
from storage.models.model_folder import save_model
from storage.stores.csi_store import write_store
from storage.tables import read_table
from tests.parameters import PROJECT, tiny_parameters
from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.options import RAW_LMMSE, UNTRAINED
from wavefoundry.evaluation.downstream.parts import CURVE, FROZEN, REFERENCE, ROUND_TRIP, SEARCH, TUNED
from wavefoundry.evaluation.downstream.probing import Probing
from wavefoundry.evaluation.downstream.task import tasks_of
from wavefoundry.evaluation.results import COLUMNS, SILENT, as_table
from wavefoundry.networks.family import model_module


def parsed(content: dict) -> Params:
    return params.parse(yaml.safe_dump(content), "params.yaml")


PARAMETERS = parsed(tiny_parameters())
SECTION = PARAMETERS.evaluate.downstream


def described(dimensions, values):
    return dimensions, values, {"units": "1", "long_name": "for a test"}


def store(folder, name, rows, antennas, turns, shift=0.0, windows=3, subcarriers=4, silent=()):
    """Plane waves of `turns` cycles per element; users stand in a line, some windows each; some rows are zero."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.asarray(rows)
    user = rows // windows
    wave = np.exp(2j * np.pi * turns[rows][:, None] * np.arange(antennas)).astype(np.complex64)
    wave[np.isin(rows, silent)] = 0
    position = np.zeros((len(rows), 1, 3))
    position[:, 0, 0] = rows + shift
    data = xr.Dataset(
        {
            "csi": described(
                ("sample", "time", "antenna", "subcarrier"), np.repeat(wave[:, None, :, None], subcarriers, axis=3)
            ),
            "position": described(("sample", "time", "xyz"), position),
            "velocity": described(("sample", "time", "xyz"), 0 * position),
            "speed": described(("sample",), 0.0 * rows),
            "los": described(("sample",), rows % 2 == 0),
            "split": described(("sample",), (user % 3).astype(np.int8)),
            "trajectory": described(("sample",), user.astype(np.int32)),
            "base_station": described(("sample",), 0 * user.astype(np.int32)),
            "window": described(("sample",), (rows % windows).astype(np.int32)),
        },
        coords={
            "time": described(("time",), np.zeros(1)),
            "antenna": described(("antenna",), np.arange(antennas, dtype=np.int32)),
            "element_position": described(("antenna", "xyz"), np.zeros((antennas, 3))),
            "subcarrier": described(("subcarrier",), np.arange(float(subcarriers))),
        },
    )
    write_store(folder / f"{name}.zarr", data, "csi")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    turns = np.random.default_rng(0).integers(0, 64, 27) / 64
    return tmp_path / "data/csi", turns


def test_labels_are_those_of_the_same_user(site):
    """Each store lacks other windows; the beam is that of the direction at the other carrier."""
    folder, turns = site
    store(folder, SECTION.channels, [row for row in range(27) if row not in (2, 5)], 32, turns)
    store(folder, SECTION.beams, [row for row in range(26, -1, -1) if row not in (5, 9)], 64, turns)
    found = evaluate_downstream.load_snapshots(SECTION)
    shared = [row for row in range(27) if row not in (2, 5, 9)]
    assert found.beam.tolist() == np.rint(64 * turns[shared]).astype(int).tolist()
    assert found.position[:, 0].tolist() == shared
    assert found.line_of_sight.tolist() == [row % 2 == 0 for row in shared]
    for code, rows in enumerate(found.rows[split] for split in ("train", "validation", "test")):
        assert [shared[row] for row in rows] == [row for row in shared if row // 3 % 3 == code]
    torch.testing.assert_close(
        found.csi[:, 1, 0], torch.from_numpy(np.exp(2j * np.pi * turns[shared])).to(torch.complex64)
    )


def test_snapshots_without_power_at_either_carrier_are_left_out_and_counted(site, capsys):
    folder, turns = site
    store(folder, SECTION.channels, range(27), 32, turns, silent=(3, 7))
    store(folder, SECTION.beams, range(27), 64, turns, silent=(7, 20))
    found = evaluate_downstream.load_snapshots(SECTION)
    kept = [row for row in range(27) if row not in (3, 7, 20)]
    assert found.position[:, 0].tolist() == kept and found.silent == 3
    assert found.beam.tolist() == np.rint(64 * turns[kept]).astype(int).tolist()
    for code, rows in enumerate(found.rows[split] for split in ("train", "validation", "test")):
        assert [kept[row] for row in rows] == [row for row in kept if row // 3 % 3 == code]
    printed = capsys.readouterr().out
    assert f"3 of 27 snapshots are left out, the first of them sample 3 of {SECTION.channels}" in printed
    sight = {"los": tasks_of(SECTION)["los"]}
    told = as_table(Probing(sight, found, SECTION).references().rows)
    assert told.loc[told["metric"] == SILENT, ["value", "samples"]].to_numpy().tolist() == [[3, 27]]


def test_a_split_without_power_is_refused_by_name(site):
    folder, turns = site
    store(folder, SECTION.channels, range(27), 32, turns, silent=[row for row in range(27) if row // 3 % 3 == 2])
    store(folder, SECTION.beams, range(27), 64, turns)
    with pytest.raises(InputError, match="share no snapshot of the split test that is not zero throughout"):
        evaluate_downstream.load_snapshots(SECTION)


def test_data_of_two_sites_are_refused(site):
    folder, turns = site
    store(folder, SECTION.channels, range(27), 32, turns)
    store(folder, SECTION.beams, range(27), 64, turns, shift=10.0)
    expected = f"downstream.channels: {SECTION.channels}, .*beams: {SECTION.beams}: .* do not share a site.* 10 m"
    with pytest.raises(InputError, match=expected):
        evaluate_downstream.load_snapshots(SECTION)


USERS, WINDOWS = 24, 5


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The two data sets of the tests' parameters, of which labels can be told, and fresh networks of every entry."""
    monkeypatch.chdir(tmp_path)
    rows, generator = range(USERS * WINDOWS), np.random.default_rng(0)
    turns = np.repeat(generator.uniform(0, 1, USERS), WINDOWS) + 0.01 * np.tile(np.arange(WINDOWS), USERS)
    for name in (SECTION.channels, SECTION.beams):
        facts = PARAMETERS.facts(name)
        store(tmp_path / "data/csi", name, rows, facts.antennas, turns, 0.0, WINDOWS, facts.subcarriers)
    for name, model in PARAMETERS.models.items():
        torch.manual_seed(1)
        network = model_module(model.family).build(model.options, PARAMETERS.angle_delay.delay_fraction)
        save_model(network, embedder_folder(name, model.seeds[0]))
    return tmp_path


def evaluated(name: str, parameters: Params = PARAMETERS):
    results, seconds = evaluate_downstream.on_one_thread(lambda: evaluate_downstream.evaluate(name, parameters))
    return as_table(results.rows), seconds


def test_the_raw_channel_has_the_rows_of_the_references(study):
    table, seconds = evaluated("raw")
    assert set(table["model"]) == {"raw", RAW_LMMSE} and set(table["dataset"].dropna()) == {SECTION.channels}
    whole = table[table["model"] == RAW_LMMSE]
    assert set(whole["part"]) == {CURVE} and set(whole["question"]) == {"interpolation", "estimation"}
    assert set(whole["label_fraction"]) == set(SECTION.label_fractions) and set(whole["seed"]) == set(SECTION.seeds)
    assert set(table["part"]) == {SEARCH, CURVE, ROUND_TRIP, REFERENCE, "last_window"}
    assert set(table.loc[table["part"] == REFERENCE, "question"]) == set(SECTION.tasks)
    assert list(seconds) == ["raw", RAW_LMMSE]


def test_a_network_with_layers_has_the_rows_of_its_control_and_of_its_tuning(study):
    table, seconds = evaluated("wimamba")
    control = "wimamba" + UNTRAINED
    assert set(table["model"]) == {"wimamba", control}
    own, other = (table[table["model"] == name] for name in ("wimamba", control))
    assert set(own["part"]) == {SEARCH, CURVE, ROUND_TRIP, FROZEN, TUNED, "last_window"}
    assert set(own.loc[own["part"] == SEARCH, "patch_size"]) == set(map(str, SECTION.patch_sizes))
    keys = ["question", "representation", "patch_size", "label_fraction", "seed", "split", "metric"]
    frozen, tuned = (own.loc[own["part"] == part, keys].reset_index(drop=True) for part in (FROZEN, TUNED))
    assert set(tuned["question"]) == set(SECTION.tuning.tasks)
    pandas.testing.assert_frame_equal(frozen, tuned)
    # The control is searched alike, and read by what is best of its own search.
    assert set(other["part"]) == {SEARCH, CURVE, ROUND_TRIP, "last_window"}
    searched = [rows.loc[rows["part"] == SEARCH, keys].reset_index(drop=True) for rows in (own, other)]
    pandas.testing.assert_frame_equal(*searched)
    for name, task in tasks_of(SECTION).items():
        deciding = other[(other["question"] == name) & (other["metric"] == task.metric)]
        found = deciding[(deciding["part"] == SEARCH) & (deciding["split"] == "validation")]
        best = found["value"].max() if task.higher_is_better else found["value"].min()
        curve = deciding[deciding["part"] == CURVE]
        assert set(curve["label_fraction"]) == {SECTION.choice_fraction}
        [chosen] = set(curve[["representation", "patch_size"]].itertuples(index=False, name=None))
        assert found.set_index(["representation", "patch_size"])["value"][chosen] == best
    where = (table["part"] == CURVE) & (table["question"] == "estimation") & (table["label_fraction"] == 0.5)
    scores = table[where & (table["split"] == "test")].groupby("model")["value"].mean()
    assert scores["wimamba"] != scores[control]
    assert len(seconds) == 3


def test_a_student_without_layers_has_a_control_too(study):
    table, _ = evaluated("tiny_wifo")
    assert set(table["model"]) == {"tiny_wifo", "tiny_wifo" + UNTRAINED}
    assert set(table["patch_size"]) == {"native"} and TUNED not in set(table["part"])


def test_an_untrained_network_is_its_own_control(study):
    """Before any training: drawn with the entry's seed as its training drew it."""
    model = PARAMETERS.models["lwm"]
    torch.manual_seed(model.seeds[0])
    save_model(model_module("lwm").build(model.options, 1.0), embedder_folder("lwm", model.seeds[0]))
    table, _ = evaluated("lwm")
    where = (table["part"] == CURVE) & (table["label_fraction"] == SECTION.choice_fraction)
    keys = ["question", "seed", "split", "metric", "value"]
    own, control = (
        table.loc[where & (table["model"] == name), keys].sort_values(keys).to_numpy().tolist()
        for name in ("lwm", "lwm" + UNTRAINED)
    )
    assert len(own) == len(control)
    for one, other in zip(own, control, strict=True):
        assert one[:-1] == other[:-1] and one[-1] == pytest.approx(other[-1], abs=2e-6)


def run(monkeypatch, content: dict, *arguments: str):
    """The stage with its files, as DVC runs it, with a record that nobody keeps."""
    params.PATH.write_text(yaml.safe_dump(content))
    monkeypatch.setattr("stages.stage.Run", lambda *_: Unrecorded())
    monkeypatch.setattr(sys, "argv", ["evaluate_downstream", *arguments])
    for file in (TASKS, *(inputs_file(arguments[-1], what) for what in ("embedded", "code"))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    evaluate_downstream.main()
    seconds = json.loads(Path(f"measurements/downstream/{arguments[-1]}.json").read_text())["seconds"]
    return read_table(scores_file("downstream", arguments[-1]), COLUMNS), seconds


class Unrecorded:
    """A run that forgets what it is told."""

    def __getattr__(self, name):
        return lambda *arguments, **named: None


def test_the_stage_writes_one_table(study, monkeypatch):
    content = tiny_parameters()
    content["evaluate"]["downstream"]["tasks"] = {"sight": {"task": "los", "hidden": [4]}}
    content["evaluate"]["downstream"]["tuning"] = None
    table, seconds = run(monkeypatch, content, "teach", "wifo")
    assert set(table["question"]) == {"sight"} and set(table["model"]) == {"wifo", "wifo" + UNTRAINED}
    assert set(seconds) == {"wifo", "wifo" + UNTRAINED}


def test_a_network_that_cannot_read_the_channels_has_an_empty_table_and_the_reason_is_said(study, monkeypatch, capsys):
    content = tiny_parameters()
    # Of 24 subcarriers it keeps 6 delay bins, which patches of 4 do not divide; it learns from other data sets.
    content["scenarios"][SECTION.channels]["ofdm"]["subcarriers"] = 24
    parameters = parsed(content)
    reason = parameters.models["lwm_temporal"].options.why_not_embed(parameters.facts(SECTION.channels))
    table, seconds = run(monkeypatch, content, "pretrain", "lwm_temporal")
    assert table.empty and list(table.columns) == list(COLUMNS) and seconds == {}
    assert f"lwm_temporal: no downstream tasks, for it gives no representations of {SECTION.channels}: {reason}" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(("group", "name"), [("raw", "raw"), ("teach", "wifo")])
def test_a_study_without_the_tasks_has_empty_tables_and_says_so(study, monkeypatch, capsys, group, name):
    content = tiny_parameters()
    content["evaluate"]["downstream"] = None
    table, _ = run(monkeypatch, content, group, name)
    assert table.empty
    assert "evaluate.downstream is null" in capsys.readouterr().out


@pytest.mark.parametrize(("group", "name", "message"), [("teach", "lwm", "no entry 'lwm', found: wifo"),
                                                        ("raw", "wifo", "raw is 'wifo', allowed: raw")])  # fmt: skip
def test_an_entry_of_another_group_is_refused(study, monkeypatch, group, name, message):
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, tiny_parameters(), group, name)


def test_every_library_has_one_thread_whenever_it_is_loaded():
    """By two threads sums are rounded otherwise, and the scores would depend on the machine."""
    code = (
        "from stages.evaluate_downstream import on_one_thread\n"
        "def libraries():\n"
        "    import numpy, sklearn.decomposition, sklearn.neural_network, scipy.linalg\n"
        "    from threadpoolctl import threadpool_info\n"
        "    return {one['filepath']: one['num_threads'] for one in threadpool_info()}\n"
        "found = on_one_thread(libraries)\n"
        "print(len(found), set(found.values()))\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    count, threads = result.stdout.split(maxsplit=1)
    assert int(count) >= 2 and threads.strip() == "{1}"
