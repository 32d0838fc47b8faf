"""params.yaml: the default is valid; every fault is one message with key, value and what is allowed."""

from pathlib import Path

import pytest
import yaml

from stages import params
from wavefoundry.errors import InputError

DEFAULT = yaml.safe_load(Path("params.yaml").read_text())
SITE = "scenarios.munich.twin.site"
# A scene of somebody's own with the traffic of munich.
TOWN = DEFAULT["scenarios"]["munich"]["twin"]
TOWN = TOWN | {"site": TOWN["site"] | {"scene": "town/town.xml"}}
SCENE = {"kind": "scene", "files": "town", "twin": TOWN, "ofdm": DEFAULT["scenarios"]["munich"]["ofdm"]}
LWM = "pretrain.lwm_temporal.architecture"
DOWNSTREAM = "evaluate.downstream"


def changed(tmp_path, key, value):
    content = yaml.safe_load(Path("params.yaml").read_text())
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_the_default_study_is_valid():
    assert set(params.read().scenarios) == set(DEFAULT["scenarios"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sede", 1, "sede: unknown key"),
        ("scenarios.munich.twin.scenery", 1, r"scenarios\.munich\.twin\.scenery: unknown key"),
        (f"{SITE}.scene", "paris", r"munich\.twin\.site: scene 'paris', allowed: munich, etoile"),
        (f"{SITE}.scene", "my/town.xml", "scene of your own goes under imported"),
        (f"{SITE}.traffic.vehicle_speed", [-1.0, 3.0], "found -1.0.*greater than or equal to 0"),
        (f"{SITE}.traffic.vehicle_speed", [9.0, 3.0], "must be .smallest, largest."),
        (f"{SITE}.traffic", DEFAULT["scenarios"]["munich"]["twin"]["site"]["traffic"]
         | {"vehicles": 0, "pedestrians": 0}, "at least 3 users"),
        ("scenarios.munich.twin.base_stations", [], r"munich\.twin\.base_stations: found \[\].*at least 1 item"),
        ("scenarios.munich.twin.tracing.keys.interval", 0, r"twin\.tracing\.keys\.interval: found 0"),
        ("scenarios.munich.twin.array.polarisation", "left", "found 'left'.*'V', 'H', 'VH' or 'cross'"),
        ("workers.processes", 0, r"workers\.processes: found 0"),
        ("teach.wifo.held_out", ["paris"], r"teach\.wifo\.held_out: there is no data set 'paris', found: .*munich"),
        ("teach.wifo.held_out", list(DEFAULT["scenarios"]), "leaves no data set to learn from"),
        ("imported", {"munich": SCENE}, r"imported\.munich: the name is taken by scenarios\.munich"),
        ("imported", {"town": SCENE | {"files": "elsewhere"}}, "'town/town.xml' must lie in files, 'elsewhere'"),
        ("imported", {"town": SCENE | {"kind": "obj"}}, r"imported\.town: .*'obj'.*'deepmimo'"),
        ("scenarios.uma_nlos.twin.users", 0, "found 0.*greater than or equal to 3"),
        ("scenarios.uma_nlos.ofdm.subcarriers", "32", "found '32'.*valid integer"),
        ("angle_delay.keep_percentage", 0.0, "found 0.0.*greater than 0"),
        ("teach.wifo.architecture.patch_size", [32, 4, 4], "32 does not divide the 16 slots of munich"),
        ("teach.wifo.architecture.patch_size", [4, 4, 5], "5 does not divide the 32 subcarriers"),
        (f"{LWM}.patch_size", [3, 1], "3 does not divide the 16 angle bins"),
        (f"{LWM}.max_seq_len", 10, "max_seq_len 10 is less than"),
        (f"{LWM}.temporal_offsets", [0, 1], "distinct and not 0"),
        (f"{LWM}.same_frame_window", 9, "same_frame_window 9 is larger than the grid of 8 x 2 tokens of munich"),
        ("evaluate.efficiency.patch_size", 3, r"efficiency\.patch_size is 3, allowed are the .*\[2, 4, 6, 8\]"),
        (f"{LWM}.num_heads", 7, "num_heads 7 does not divide"),
        ("pretrain.lwm.architecture.heads", 5, "heads 5 does not divide hidden_size"),
        ("pretrain.lwm.architecture.max_seq_len", 50, "max_seq_len 50 is less than the 129 tokens of munich"),
        ("pretrain.wimamba.architecture.patch_sizes", [4, 4], r"patch_sizes: found \[4, 4\], values must be distinct"),
        ("pretrain.wimamba.architecture.hidden_size", 63, "found 63.*multiple of 2"),
        ("distill.tiny_wifo.teacher", "llama", "'llama', allowed: wifo"),
        ("distill.tiny_wifo.hidden_size", 4096, "at most its hidden_size"),
        ("evaluate.prediction.history_fraction", 0.3, "must be a multiple of the patch of"),
        (f"{DOWNSTREAM}.channels", "paris", r"downstream\.channels: there is no data set 'paris', found: munich"),
        (f"{DOWNSTREAM}.beams", "d4", "munich_snapshots and .*beams d4 must be ray-traced with equal site"),
        (f"{DOWNSTREAM}.beams", "street_canyon", "street_canyon must be ray-traced with equal site"),
        (f"{DOWNSTREAM}.channels", "d18", "channels: d18 has no uniform linear array"),
        (f"{DOWNSTREAM}.codebook", 32, "codebook is 32, it must be at least the 64 antennas of munich_28ghz"),
        (f"{DOWNSTREAM}.patch_sizes", [4, 5, 8], r"pretrain\.wimamba has no embedding for 5, allowed: 2, 4, 6, 8"),
        (f"{DOWNSTREAM}.choice_fraction", 0.2, "choice_fraction 0.2 is none of label_fractions"),
        (f"{DOWNSTREAM}.label_fractions", [0.1, 0.1, 1.0], "label_fractions .* must rise"),
        (f"{DOWNSTREAM}.tuning.layers", 9, "tuning.layers is 9, allowed: at most the depth"),
        (f"{DOWNSTREAM}.tuning.patch_size", 3, "tuning.patch_size is 3, allowed"),
        (f"{DOWNSTREAM}.interpolation.pilot_spacing", [32, 4], "leaves fewer than two pilots along an axis"),
        ("scenarios", {}, "scenarios and imported are both empty"),
        ("distill.tiny_wifo.seeds", [1, 1], r"distill\.tiny_wifo\.seeds: found \[1, 1\], values must be distinct"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path, key, value, message):
    with pytest.raises(InputError, match=message):
        params.read(changed(tmp_path, key, value))


def test_models_learn_from_what_they_can_read_and_is_not_held_out(tmp_path):
    read = params.read(changed(tmp_path, "imported", {"town": SCENE}))
    assert read.learnt_by("lwm_temporal") == ["munich", "street_canyon", "uma_nlos", "d4", "town"]
    assert read.learnt_by("wifo") == read.learnt_by("tiny_wifo") == read.learnt_by("lwm_temporal")
    assert "d18" in read.read_by("wifo") and "d18" not in read.read_by("lwm_temporal")
    assert read.learnt_by("wimamba") == ["munich", "street_canyon", "uma_nlos", "munich_snapshots", "d4", "town"]
    assert "munich_snapshots" not in read.sequences and "wimamba" not in read.predictors
    assert read.compared == ["munich", "street_canyon", "uma_nlos", "d4", "town"]


def test_missing_keys_files_and_broken_yaml_are_named(tmp_path):
    content = dict(DEFAULT)
    del content["seed"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="seed: missing"):
        params.read(path)
    path.write_text("seed: [")
    with pytest.raises(InputError, match="not valid YAML"):
        params.read(path)
    with pytest.raises(InputError, match="no such file"):
        params.read(tmp_path / "nowhere.yaml")


def test_all_faults_of_a_file_come_in_one_message(tmp_path):
    path = changed(tmp_path, "angle_delay.keep_percentage", 2.0)
    content = yaml.safe_load(path.read_text())
    content["seed"] = -1
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        params.read(path)
    assert "seed: found -1" in str(caught.value) and "keep_percentage: found 2.0" in str(caught.value)
