"""evaluate@efficiency: counts repeat, sizes that a backbone cannot read are said, growth is that of the costs."""

import pytest
import torch

from stages import params
from stages.evaluate_efficiency import (
    backbone_folders,
    count,
    draw_measurements,
    efficiency_section,
    measure,
    slope,
    summarise,
    synthetic_channels,
)
from wavefoundry.config import EvaluateEfficiency
from wavefoundry.networks.lwm.model import LWM, LWMConfig
from wavefoundry.networks.wimamba.model import WiMamba, WiMambaConfig

SECTION = EvaluateEfficiency(
    batch_size=2, sizes=[[8, 8], [8, 16], [16, 16]], slots=3, patch_size=2, repetitions=1, channel_seed=0
)


@pytest.fixture(scope="module")
def measured():
    torch.manual_seed(0)
    channels = synthetic_channels(SECTION)
    models = {
        "wimamba": WiMamba(WiMambaConfig(hidden_size=16, depth=1, patch_sizes=[2])).eval(),
        "lwm": LWM(LWMConfig(hidden_size=16, depth=1, heads=2, patch_sizes=[2], max_seq_len=33)).eval(),
    }
    metrics = {name: count(model, channels, SECTION.patch_size) for name, model in models.items()}
    assert metrics == {name: count(model, channels, SECTION.patch_size) for name, model in models.items()}
    rows = {name: measure(model, channels, metrics[name], SECTION, "cpu") for name, model in models.items()}
    return metrics, {"batch_size": 2, "devices": {"cpu": rows}}


def test_sizes_beyond_max_seq_len_are_left_out_and_the_report_says_so(measured):
    metrics, measurements = measured
    assert [row["tokens"] for row in metrics["wimamba"]["sizes"]] == [17, 33, 65]
    assert [row.get("tokens") for row in metrics["lwm"]["sizes"]] == [17, 33, None]
    assert [row["tokens"] for row in measurements["devices"]["cpu"]["lwm"]] == [17, 33]
    section = efficiency_section(metrics, measurements)
    (line,) = [line for line in section.splitlines() if line.startswith("| lwm |")]
    assert line.endswith("| - |")
    assert "- lwm: 16 antennas x 16 subcarriers in patches of 2 x 2 are 65 tokens" in section
    assert "There was no GPU to measure on." in section


def test_students_of_one_width_are_measured_once():
    parameters = params.read()
    width = {name: student.hidden_size for name, student in parameters.distill.items()}
    folders = backbone_folders(parameters)
    measured = [width[name] for name in folders if name in width]
    assert sorted(measured) == sorted(set(width.values()))
    assert {"wimamba", "lwm", "lwm_temporal", "wifo"} < set(folders)


def test_growth_of_a_power_is_its_exponent():
    assert slope([(tokens, 3 * tokens**1.5) for tokens in (10, 40, 900)]) == pytest.approx(1.5)


def test_wimamba_grows_linearly_in_the_summary(measured):
    summary = summarise(measured[0])
    assert summary["wimamba"]["flops_slope"] == pytest.approx(1, abs=0.02)
    assert summary["lwm"]["flops_slope"] > 1.05
    assert summary["lwm"]["parameters"] == measured[0]["lwm"]["parameters"]


def test_pictures_of_measured_costs(measured, tmp_path):
    draw_measurements(measured[1], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latency.png", "memory.png"]
