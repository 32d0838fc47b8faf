"""The benchmark of WiFo on a small width."""

import json
import sys

import pytest
import torch

from benchmarks import wifo


def test_the_published_form_answers_as_ours_and_both_take_steps(monkeypatch, capsys):
    monkeypatch.setattr(wifo, "ROUNDS", 1)
    monkeypatch.setattr(wifo, "BATCH", 2)
    monkeypatch.setattr(sys, "argv", ["wifo", "16"])
    wifo.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    [found] = result["widths"]
    assert found["relative_difference"] < 1e-5
    assert set(found["step_seconds"]) == set(found["prediction_seconds"]) == {"ours", "published"}
    page = wifo.table(result).splitlines()
    assert len(page) == 3 and page[2].startswith("| 16 |")


@pytest.mark.parametrize(("strategy", "axis"), [("time", 0), ("frequency", 2)])
def test_the_first_half_of_an_axis_is_seen(strategy, axis):
    order = wifo.drawn_order(strategy, torch.Generator())[0]
    seen = torch.zeros(order.shape, dtype=torch.bool)
    seen[order[: len(order) // 2]] = True
    leading = torch.arange(wifo.GRID[axis]) < wifo.GRID[axis] // 2
    shape = [-1 if place == axis else 1 for place in range(3)]
    assert torch.equal(seen.reshape(wifo.GRID), leading.reshape(shape).expand(wifo.GRID))


def test_a_width_that_heads_do_not_divide_is_named(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["wifo", "20"])
    with pytest.raises(SystemExit, match="width 20, allowed: multiples of 8"):
        wifo.main()
