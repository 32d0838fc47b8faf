"""Two worker processes against one: python -m benchmarks.scale_out (an idle machine).

The ray tracing of munich and a TR 38.901 drop at the numbers of samples that the papers use; the start of the
processes is part of the time. One JSON object a case; the last line holds all of them.
"""

import json
import time

import numpy as np

from stages.params import PATH, parse
from stages.scale_out import Workers, workers
from wavefoundry.twin.build import build
from wavefoundry.twin.config import RayTracedTwin, StatisticalTwin

WINDOWS = 60  # of each of the 120 users in munich; the default study has 5
USERS = 20_000  # of uma_nlos; the default study has 600


def twins() -> dict[str, RayTracedTwin | StatisticalTwin]:
    settings = parse(PATH.read_text(), str(PATH))
    traced, drawn = (settings.entry("scenarios", name).twin.model_dump() for name in ("munich", "uma_nlos"))
    traced["site"]["sampling"] |= {"windows": WINDOWS}
    drawn |= {"users": USERS}
    return {"ray_traced": RayTracedTwin.model_validate(traced), "tr38901": StatisticalTwin.model_validate(drawn)}


def seconds(twin: RayTracedTwin | StatisticalTwin, processes: int) -> float:
    start = time.perf_counter()
    with workers(Workers(processes=processes, scheduler=None), f"{processes} processes") as map_units:
        build(twin, np.zeros(twin.user_count, bool), 1, 2, map_units)
    return time.perf_counter() - start


def main() -> None:
    cases = {}
    for name, twin in twins().items():
        taken = {processes: seconds(twin, processes) for processes in (1, 2)}
        cases[name] = {"seconds": taken, "two_processes_are_faster_by": taken[1] / taken[2]}
        print(json.dumps({name: cases[name]}), flush=True)
    print(json.dumps({"benchmark": "scale_out", "windows": 120 * WINDOWS, "users": USERS, **cases}))


if __name__ == "__main__":
    main()
