"""Pages that quote figures, and when, where and from which commit those were measured."""

import platform
from datetime import UTC, datetime
from pathlib import Path

from storage.git import head
from storage.replacement import replace_file


def provenance() -> str:
    """Date, commit and processor, such as "2026-11-26, commit 1a2b3c4, on a CPU of NAME with 2 logical cores"."""
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {head().get('short', 'unknown')}, on {processor()}"


def write_page(page: Path, title: str, command: str, body: str) -> None:
    """Write a page whose figures a command has measured or joined: `body` follows the line that says so."""
    page.parent.mkdir(parents=True, exist_ok=True)
    replace_file(page, f"# {title}\n\nWritten by `python -m {command}`, {provenance()}.\n{body}")
    print(f"{page} has been written")


def processor() -> str:
    """Name and logical cores, as far as the system tells them."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} logical cores" if names else platform.processor() or platform.machine()
