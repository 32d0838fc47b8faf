"""When, where and from which commit figures were measured, for pages that quote them."""

import platform
from datetime import UTC, datetime
from pathlib import Path

from storage.git import head


def provenance() -> str:
    """Date, commit and processor, such as "2026-11-26, commit 1a2b3c4, on a CPU of NAME with 2 logical cores"."""
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {head().get('short', 'unknown')}, on {processor()}"


def processor() -> str:
    """Name and logical cores, as far as the system tells them."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} logical cores" if names else platform.processor() or platform.machine()
