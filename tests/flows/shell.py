"""Shell commands run as a flow runs its stages, and the process numbers that they write."""

import os

from tests.waiting import wait_for


def shell(processes, script, folder):
    lines = []
    return processes.run(["sh", "-c", script], str(folder), dict(os.environ), lines.append), lines


def number_in(path):
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())
