"""evaluate_efficiency: counts repeat, sizes that a backbone cannot read are said, growth is that of the costs."""

import re

import pytest
import torch

from stages.evaluate_efficiency import CPU, cost_of_embedding, synthetic_channels
from tests.parameters import tiny_parameters
from wavefoundry.evaluation.options import Efficiency
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.summary import slope, summarise
from wavefoundry.networks.family import families, model_module
from wavefoundry.plots.model_styles import model_styles
from wavefoundry.report.efficiency import curves, draw_efficiency, efficiency_section

SECTION = Efficiency(
    batch_size=2,
    sizes=[[8, 8], [8, 16], [16, 16]],
    slots=3,
    patch_size=2,
    repetitions=1,
    prediction_repetitions=1,
    channel_seed=0,
)


def network(family, **changes):
    entry = tiny_parameters()["pretrain"][family]
    architecture = entry["architecture"] | {"patch_sizes": [2], "hidden_size": 16, "depth": 1} | changes
    options = families()[family].model_validate({"architecture": architecture, "training": entry["training"]})
    return model_module(family).build(options, 1.0).eval()


@pytest.fixture(scope="module")
def tables():
    torch.manual_seed(0)
    counted, measured = [], []
    for name, model in {"wimamba": network("wimamba"), "lwm": network("lwm", heads=2, max_seq_len=33)}.items():
        costs = cost_of_embedding(model, SECTION, 2, "cpu")
        assert cost_of_embedding(model, SECTION, 2, "cpu")[0] == costs[0]
        labels = {"evaluation": "efficiency", "model": name}
        parameters = sum(weight.numel() for weight in model.parameters())
        counted += [labels | {"metric": "parameters", "value": parameters}, *(labels | row for row in costs[0])]
        measured += [labels | row for row in costs[1]]
    return as_table(counted), as_table(measured)


def values(table, model, metric):
    return table.loc[(table["model"] == model) & (table["metric"] == metric), "value"].tolist()


def test_channels_are_those_of_the_parameters():
    first, second = synthetic_channels(SECTION), synthetic_channels(SECTION)
    assert [tuple(csi.shape) for csi in first] == [(2, 3, 8, 8), (2, 3, 8, 16), (2, 3, 16, 16)]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_sizes_beyond_max_seq_len_are_left_out_and_the_report_says_so(tables):
    counted, measured = tables
    assert values(counted, "wimamba", "tokens") == [17, 33, 65]
    assert values(counted, "lwm", "tokens") == [17, 33]
    assert len(values(measured, "lwm", "latency_ms")) == len(values(measured, "lwm", "peak_mebibytes")) == 2
    assert set(measured["part"]) == {CPU}
    section = efficiency_section(counted, measured, 2, 3)
    (line,) = [line for line in section.splitlines() if line.startswith("| lwm |")]
    assert line.endswith("| - |")
    assert "- lwm: 16 antennas x 16 subcarriers in patches of 2 x 2 are 65 tokens" in section
    assert "There was no GPU to measure on." in section


def test_growth_of_a_power_is_its_exponent():
    tokens = [10, 40, 900]
    assert slope(tokens, [3 * count**1.5 for count in tokens]) == pytest.approx(1.5)


def test_wimamba_grows_linearly_in_the_summary(tables):
    summary = summarise(tables[0], {}, None)["efficiency"]
    assert summary["wimamba"]["flops_slope"] == pytest.approx(1, abs=0.02)
    assert summary["lwm"]["flops_slope"] > 1.05
    assert summary["lwm"]["parameters"] == values(tables[0], "lwm", "parameters")[0]


def test_pictures_of_measured_costs(tables, tmp_path):
    costs = curves(*tables)
    assert [tokens for tokens, _ in costs["latency_ms"]["wimamba"]] == [17, 33, 65]
    styles = model_styles(list(costs["flops"]), [])
    draw_efficiency(*tables, styles, tmp_path)
    linked = re.findall(r"\]\((.+)\)", efficiency_section(*tables, 2, 3))
    assert len(linked) == 3 and all((tmp_path / link).is_file() for link in linked)


def test_of_no_backbone_there_are_no_pictures(tables, tmp_path):
    counted, measured = (table[table["model"] == "nobody"] for table in tables)
    draw_efficiency(counted, measured, {}, tmp_path)
    assert not list(tmp_path.iterdir()) and "](" not in efficiency_section(counted, measured, 2, 3)
