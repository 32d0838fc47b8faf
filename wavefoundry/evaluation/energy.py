"""Energy of a call, where the processor counts it (RAPL, running average power limit, of Intel and AMD; Linux only).

Counted is everything that the processor packages spend from before to after: cores, caches and what else runs there,
idle power included, without the memory. So a figure is worth something on a machine that does nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
PACKAGE = "package-"  # how the names of whole processors begin; other zones are parts of them, or hold them


@dataclass(frozen=True)
class Counter:
    """The energy counter of one processor package.

    file: holds microjoules.
    largest: the counter starts again from 0 after so many microjoules.
    """

    file: Path
    largest: int

    def read(self) -> int:
        """Microjoules since some time in the past.

        Raises:
            OSError, ValueError: it cannot be read, or holds no number.
        """
        return int(self.file.read_text())


def counters(powercap: Path = POWERCAP) -> list[Counter]:
    """Those of all processor packages; none where the machine has none, or where one of them may not be read."""
    found: list[Counter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            if not (zone / "name").read_text().startswith(PACKAGE):
                continue
            counter = Counter(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
            counter.read()
        except (OSError, ValueError):
            return []
        found.append(counter)
    return found


def millijoules(call: Callable[[], object], repetitions: int, powercap: Path = POWERCAP) -> float | None:
    """Mean energy of one call [mJ].

    Args:
        call: what is measured; called before by whoever does not want to measure its first time.
        repetitions: calls between two readings, which together should take some milliseconds at least (a counter is
            updated once in a millisecond) and less than a counter takes to come round (minutes).
        powercap: folder of the counters.

    Returns:
        None where the machine does not tell, or the counters did not move.
    """
    packages = counters(powercap)
    try:
        before = [package.read() for package in packages]
        for _ in range(repetitions if packages else 0):
            call()
        after = [package.read() for package in packages]
    except (OSError, ValueError):
        return None
    # A counter that has come round is lower than before.
    spent = sum(
        last - first if last >= first else last - first + package.largest
        for package, first, last in zip(packages, before, after, strict=True)
    )
    return spent / 1e3 / repetitions if spent > 0 else None
