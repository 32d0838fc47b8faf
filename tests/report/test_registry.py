"""The registry's figures are defined, with their units."""

from tests.report.markdown import cells
from wavefoundry.report.registry import registry_section


def test_a_score_and_a_latency_say_what_they_are():
    decision = {"version": 1, "validation_nmse_db": -3.25, "test_nmse_db": -3.0, "latency_ms": 0.26, "int8": None}
    text = registry_section({"hold": decision}, "d1, d2", 20.0)
    told, table = text.split("\n\n")
    assert "d1, d2" in told and "20 dB" in told and "validation split decides" in told and "without PyTorch" in told
    header = ["version", "validation NMSE [dB]", "test NMSE [dB]", "latency as served [ms]", "INT8"]
    assert cells(table)[""] == header
    assert cells(table)["hold"] == ["1", "-3.25", "-3", "0.26", "-"]
