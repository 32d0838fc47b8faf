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
