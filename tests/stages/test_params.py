"""params.yaml: the default is valid; every fault is one message with key, value and what is allowed."""

from pathlib import Path

import pytest
import yaml

from stages import params
from wavefoundry.errors import InputError

DEFAULT = yaml.safe_load(Path("params.yaml").read_text())
LWM = "pretrain.lwm_temporal.architecture"


def changed(tmp_path, key, value):
    content = yaml.safe_load(Path("params.yaml").read_text())
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_default_study_is_valid():
    assert set(params.read().scenarios) == set(DEFAULT["scenarios"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sede", 1, "sede: unknown key"),
        ("scenarios.munich.twin.scenery", 1, r"scenarios\.munich\.twin\.scenery: unknown key"),
        ("scenarios.munich.twin.scene", "paris", "found 'paris'.*'munich', 'etoile'"),
        ("scenarios.munich.twin.traffic.vehicle_speed", [-1.0, 3.0], "found -1.0.*greater than or equal to 0"),
        ("scenarios.munich.twin.traffic.vehicle_speed", [9.0, 3.0], "must be .smallest, largest."),
        ("scenarios.munich.twin.traffic", DEFAULT["scenarios"]["munich"]["twin"]["traffic"]
         | {"vehicles": 0, "pedestrians": 0}, "at least 3 users"),
        ("scenarios.uma_nlos.twin.users", 0, "found 0.*greater than or equal to 3"),
        ("scenarios.uma_nlos.ofdm.subcarriers", "32", "found '32'.*valid integer"),
        ("angle_delay.keep_percentage", 0.0, "found 0.0.*greater than 0"),
        ("teach.wifo.architecture.patch_size", [32, 4, 4], "32 does not divide the 16 slots of scenarios.munich"),
        ("teach.wifo.architecture.patch_size", [4, 4, 5], "5 does not divide the 32 subcarriers"),
        (f"{LWM}.patch_size", [3, 1], "3 does not divide the 16 angle bins"),
        (f"{LWM}.max_seq_len", 10, "max_seq_len 10 is less than"),
        (f"{LWM}.temporal_offsets", [0, 1], "distinct and not 0"),
        (f"{LWM}.num_heads", 7, "num_heads 7 does not divide"),
        ("distill.tiny_wifo.teacher", "llama", "'llama', allowed: wifo"),
        ("distill.tiny_wifo.hidden_size", 4096, "at most its hidden_size"),
        ("evaluate.prediction.history_fraction", 0.3, "must be a multiple of the patch of"),
        ("scenarios", {}, "at least 1 item"),
        ("distill.tiny_wifo.seeds", [1, 1], r"distill\.tiny_wifo\.seeds: found \[1, 1\], values must be distinct"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path, key, value, message):
    with pytest.raises(InputError, match=message):
        params.read(changed(tmp_path, key, value))


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
