"""The same for all tests: one thread, so that tests beside each other do not wait, and the same examples every time."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
# Machines that are busy are slow: a slow example is no fault.
settings.register_profile("wavefoundry", deadline=None, derandomize=True)
settings.load_profile("wavefoundry")


def pytest_collection_modifyitems(items):
    """Flows come last: in a process in which Prefect has run, a forked worker of a DataLoader ends at once."""
    items.sort(key=lambda item: item.path.parent.name == "flows")
