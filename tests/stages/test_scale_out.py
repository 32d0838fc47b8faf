"""Units of work on processes: in order, the same wherever they run, done again when their worker dies."""

import os
import signal
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest

from stages.scale_out import Workers, connect, workers
from wavefoundry.errors import InputError


@pytest.fixture(autouse=True)
def always_worthwhile(monkeypatch):
    monkeypatch.setattr("stages.scale_out.WORTHWHILE", -1.0)
    monkeypatch.setattr("stages.scale_out.idle_cores", lambda: 8.0)


def square(value: int) -> np.ndarray:
    return np.full(3, value**2)


def die_once(marker: Path, value: int) -> int:
    """Kills its own process the first time."""
    if value == 4 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value + 100


def process(_: int) -> int:
    return os.getpid()


def results(function, arguments, processes=2):
    with workers(Workers(processes=processes, scheduler=None), "test") as map_units:
        return list(map_units(function, arguments))


def test_results_are_those_of_a_plain_loop_in_its_order():
    arguments = [(value,) for value in range(9)]
    alone, together = (results(square, arguments, processes) for processes in (1, 2))
    np.testing.assert_array_equal(alone, together)


def test_few_units_start_no_process(monkeypatch):
    assert results(process, [(0,), (1,)]) == [os.getpid()] * 2
    monkeypatch.setattr("stages.scale_out.WORTHWHILE", 20.0)
    assert results(process, [(value,) for value in range(9)]) == [os.getpid()] * 9


def test_processes_wait_for_cores_that_others_use(monkeypatch):
    """Idle cores after each unit: none, then one of them, then more than processes are allowed."""
    for idle, started in ((0.3, 0), (0.8, 2), (9.0, 3)):
        answers = chain([0.0] * 4, repeat(idle))
        monkeypatch.setattr("stages.scale_out.idle_cores", lambda answers=answers: next(answers))
        found = results(process, [(value,) for value in range(16)], processes=3)
        assert found[:4] == [os.getpid()] * 4
        assert len(set(found) - {os.getpid()}) == started


def test_the_unit_of_a_killed_worker_is_done_again(tmp_path):
    assert results(die_once, [(tmp_path / "died", value) for value in range(8)]) == list(range(100, 108))
    assert (tmp_path / "died").exists()


def test_several_processes_share_the_work():
    found = results(process, [(value,) for value in range(14)])
    assert found[:2] == [os.getpid()] * 2
    assert len(set(found[2:])) == 2 and os.getpid() not in found[2:]


def test_workers_stay_for_the_next_units():
    with workers(Workers(processes=2, scheduler=None), "test") as map_units:
        first = set(list(map_units(process, [(value,) for value in range(14)]))[2:])
        assert set(map_units(process, [(0,), (1,), (2,), (3,)])) <= first


def test_a_running_cluster_is_taken_from_the_environment(monkeypatch):
    import dask
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        dask.config.set({"scheduler-address": cluster.scheduler_address}),
        workers(Workers(processes=1, scheduler=None), "test") as map_units,
    ):
        here = set(map_units(process, [(0,), (1,)]))
    assert len(here) == 1 and os.getpid() not in here


@pytest.mark.parametrize("address", ["foo", "tcp://127.0.0.1", "http://127.0.0.1:8786"])
def test_what_is_no_address_is_named(address):
    with pytest.raises(InputError, match=rf"^scheduler {address}: no address of a Dask scheduler .*tcp://HOST:PORT$"):
        connect(address, "scheduler")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("stages.scale_out.PATIENCE", 1)
    with (
        pytest.raises(InputError, match=r"workers.scheduler tcp://127.0.0.1:9: no Dask scheduler"),
        workers(Workers(processes=1, scheduler="tcp://127.0.0.1:9"), "test") as map_units,
    ):
        list(map_units(process, [(0,)]))
