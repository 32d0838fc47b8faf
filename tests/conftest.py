"""The same for all tests: one thread, so that tests beside each other do not wait, the same examples every time, and
which tests stay together."""

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# Machines that are busy are slow: a slow example is no fault.
settings.register_profile("wavefoundry", deadline=None, derandomize=True)
settings.load_profile("wavefoundry")


# What one process of pytest-xdist runs in turn: the tests that share a study, those that share a server of Prefect, and
# otherwise those of a file. The longest begin first. Flows come last: in a process in which Prefect has run, a forked
# worker of a DataLoader ends at once.
TOGETHER = {"pipeline": 0, "flows": 2}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: TOGETHER.get(item.path.parent.name, 1))
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in TOGETHER else str(item.path)))
