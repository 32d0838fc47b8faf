"""Two worker processes against one, on the ray tracing of munich: python -m benchmarks.scale_out (an idle machine).

The start of the processes is part of the time.
"""

import json
import time

import numpy as np

from stages.params import PATH, parse
from stages.scale_out import Workers, workers
from wavefoundry.report.tables import markdown_table
from wavefoundry.twin.build import build
from wavefoundry.twin.options import RayTracedTwin

WINDOWS = 110  # of each of the 120 users; the default study has 5


def long_twin() -> RayTracedTwin:
    twin = parse(PATH.read_text(), str(PATH)).entry("scenarios", "munich").twin.model_dump()
    twin["site"]["sampling"] |= {"windows": WINDOWS}
    return RayTracedTwin.model_validate(twin)


def seconds(twin: RayTracedTwin, processes: int) -> float:
    start = time.perf_counter()
    with workers(Workers(processes=processes, scheduler=None), f"{processes} processes") as map_units:
        build(twin, np.zeros(twin.user_count, bool), 1, 2, map_units)
    return time.perf_counter() - start


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["windows", "one process [s]", "two processes [s]", "one / two"]
    figures = (f"{result['seconds'][processes]:.0f}" for processes in ("1", "2"))
    return markdown_table(
        header, [[f"{result['windows']:,}", *figures, f"{result['two_processes_are_faster_by']:.2f}"]]
    )


def main() -> None:
    twin = long_twin()
    taken = {processes: seconds(twin, processes) for processes in (1, 2)}
    print(json.dumps({
        "benchmark": "scale_out",
        "windows": twin.user_count * WINDOWS, "users_per_unit": twin.tracing.users_per_call,
        "seconds": taken, "two_processes_are_faster_by": taken[1] / taken[2],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
