"""The benchmark of sparse attention on one small grid."""

import json
import sys

import pytest

from benchmarks import ssta


def test_one_size_agrees_with_dense_attention_and_a_peer_that_does_not_compile_is_named(monkeypatch, capsys):
    def no_compiler(grid, parts):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(ssta, "compiled_flex", no_compiler)
    monkeypatch.setattr(ssta, "ROUNDS", 1)
    monkeypatch.setattr(sys, "argv", ["ssta", "704"])
    ssta.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    [size] = result["sizes"]
    assert size["largest_difference"] < 1e-5
    assert size["flex"] == "RuntimeError: no compiler"
    assert set(size["forward_seconds"]) == set(size["both_seconds"])
    page = ssta.table(result)
    assert "| 704 |" in page and "no compiler" in page


def test_a_size_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ssta", "1000"])
    with pytest.raises(SystemExit, match="tokens 1000, allowed: 256, 704"):
        ssta.main()


def test_a_large_ratio_is_printed_in_plain_digits():
    seconds = {"dense": 28.2415, "published_routed": 0.1917}
    size = {
        "tokens": 22528,
        "forward_seconds": dict.fromkeys(
            ("dense", "published_routed", "published_all", "wide_routed", "wide_all"), 1.0
        ),
        "both_seconds": dict.fromkeys(("published_all", "wide_routed", "wide_all"), 1.0) | seconds,
        "both_bytes": {"dense": 2**20, "published_routed": 2**20},
    }
    assert "| 191.7 (150) |" in ssta.table({"sizes": [size]})
