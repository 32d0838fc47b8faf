"""Data of two carriers become labelled snapshots, or are refused by name; the section of the report."""

import numpy as np
import pytest
import torch
import xarray as xr
from stages.report_downstream import downstream_section
from wavefoundry.evaluation.downstream.tasks import TASKS

from stages import evaluate_downstream, params
from storage.stores.csi_store import write_store
from wavefoundry.errors import InputError

SECTION = params.read().evaluate.downstream


def described(dimensions, values):
    return dimensions, values, {"units": "1", "long_name": "for a test"}


def store(folder, name, rows, antennas, turns, shift=0.0):
    """Plane waves of `turns` cycles per element; users stand in a line, three windows each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.asarray(rows)
    user = rows // 3
    wave = np.exp(2j * np.pi * turns[rows][:, None] * np.arange(antennas)).astype(np.complex64)
    position = np.zeros((len(rows), 1, 3))
    position[:, 0, 0] = rows + shift
    data = xr.Dataset(
        {
            "csi": described(("sample", "time", "antenna", "subcarrier"), np.repeat(wave[:, None, :, None], 4, axis=3)),
            "position": described(("sample", "time", "xyz"), position),
            "velocity": described(("sample", "time", "xyz"), 0 * position),
            "speed": described(("sample",), 0.0 * rows),
            "los": described(("sample",), rows % 2 == 0),
            "split": described(("sample",), (user % 3).astype(np.int8)),
            "trajectory": described(("sample",), user.astype(np.int32)),
            "base_station": described(("sample",), 0 * user.astype(np.int32)),
            "window": described(("sample",), (rows % 3).astype(np.int32)),
        },
        coords={
            "time": described(("time",), np.zeros(1)),
            "antenna": described(("antenna",), np.arange(antennas, dtype=np.int32)),
            "element_position": described(("antenna", "xyz"), np.zeros((antennas, 3))),
            "subcarrier": described(("subcarrier",), np.arange(4.0)),
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


def test_data_of_two_sites_are_refused(site):
    folder, turns = site
    store(folder, SECTION.channels, range(27), 32, turns)
    store(folder, SECTION.beams, range(27), 64, turns, shift=10.0)
    expected = f"downstream.channels: {SECTION.channels}, .*beams: {SECTION.beams}: .* do not share a site.* 10 m"
    with pytest.raises(InputError, match=expected):
        evaluate_downstream.load_snapshots(SECTION)


def test_a_study_without_the_tasks_says_so(monkeypatch):
    default = params.read()
    without = default.model_copy(update={"evaluate": default.evaluate.model_copy(update={"downstream": None})})
    monkeypatch.setattr(params, "read", lambda: without)
    with pytest.raises(SystemExit, match=r"evaluate\.downstream is left out"):
        evaluate_downstream.main()


def metrics(pretrained, raw):
    """Contents of metrics/downstream.json in which every head has the given accuracy or error."""

    def one(level):
        def scores(about):
            value = level if about.higher_is_better else -level
            return {split: {about.metric: [value] * 2, "f1": [value] * 2} for split in ("validation", "test")}

        return {
            "curves": {task: {"0.1": scores(about), "1": scores(about)} for task, about in TASKS.items()},
            "table": {task: {"per_patch": {"8": scores(about)}} for task, about in TASKS.items()},
            "chosen": {task: ["per_patch", "8"] for task in TASKS},
            "round_trip": {"8": -12.0},
            "last_window": scores(TASKS["beam_tracking"]),
        }

    return {
        "samples": {"train": 70, "validation": 10, "test": 20},
        "label_fractions": [0.1, 1.0],
        "choice_fraction": 0.1,
        "references": {task: {"what": "a guess", about.metric: 0.0} for task, about in TASKS.items()},
        "inputs": {"raw": one(raw), "lwm": one(pretrained)},
        "tuning": {"layers": 2, "fraction": 0.1, "patch_size": 8},
        "tuned": {"los": {"lwm": one(pretrained)["curves"]["los"]["1"]}},
    }


@pytest.mark.parametrize(("pretrained", "raw", "count"), [(0.75, 0.5, 6), (0.5, 0.75, 0)])
def test_the_section_says_what_the_numbers_say(pretrained, raw, count):
    section = downstream_section(metrics(pretrained, raw))
    assert f"in {count} of 6 tasks" in section
    assert section.count("do **not** beat") == 6 - count
    assert "0.750 (lwm) against 0.500" in section or "0.500 (lwm) against 0.750" in section
    for task in TASKS:
        assert f"figures/downstream/{task}.png" in section
