"""The same for all tests: one thread, so that tests beside each other do not wait, the same examples every time, and
which tests stay together."""

from pathlib import PurePosixPath

import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

torch.set_num_threads(1)
# Machines that are busy are slow: a slow example is no fault.
settings.register_profile("wavefoundry", deadline=None, derandomize=True)
settings.load_profile("wavefoundry")


# What one process of pytest-xdist runs in turn: the tests that share a study, those that share a server of Prefect, and
# otherwise those of a file. The longest begin first. Flows come last: in a process in which Prefect has run, a forked
# worker of a DataLoader ends at once. The marks of pytest-xdist for this are without effect since pytest 9.2.
TOGETHER = {"pipeline": 0, "flows": 2}


class Together(LoadScopeScheduling):
    """Hands whole groups to the processes, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return file.parent.name if file.parent.name in TOGETHER else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return Together(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: TOGETHER.get(item.path.parent.name, 1))
