"""A stage that trains refuses to be one of several processes."""

import pytest

from stages.training import require_one_process
from wavefoundry.errors import InputError


def test_several_processes_are_one_clear_error_and_one_is_none(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    require_one_process()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="WORLD_SIZE is 2: a stage is one process"):
        require_one_process()
