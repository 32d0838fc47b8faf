"""Write a page of docs/results from benchmarks: `python -m benchmarks.results_page docs/results/costs.md NAME ...`.

Each benchmark runs in a process of its own; what it measures is told by its docstring, and its figures by its function
`table`, which makes markdown of the JSON object that it prints last; without one, each figure of the object is a row.
No figure of such a page is typed by hand.
"""

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stages.provenance import write_page
from stages.stage import clear_errors
from wavefoundry.errors import InputError
from wavefoundry.report.tables import markdown_table


def section(name: str) -> str:
    """Markdown of one benchmark, which is run.

    Raises:
        InputError: there is none of this name, or it fails.
    """
    files = (path for path in Path(__file__).parent.glob("*.py") if path.stem != Path(__file__).stem)
    found = sorted(path.stem for path in files if "json.dumps(" in path.read_text())
    if name not in found:
        raise InputError(f"there is no benchmark {name!r}, found: {', '.join(found)}")
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"benchmarks.{name} is running", file=sys.stderr)
    ran = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        raise InputError(f"benchmarks.{name} has failed, see above; the page stays as it was")
    heading, _, rest = (module.__doc__ or "").partition("\n\n")
    table = getattr(module, "table", every_figure)(json.loads(ran.stdout.splitlines()[-1]))
    return f"## {' '.join(heading.split()).rstrip('.')}\n\n{rest.strip()}\n\n{table}\n"


def every_figure(found: dict[str, Any]) -> str:
    """A row for each figure of a JSON object, with the keys that lead to it."""
    return markdown_table(["figure", "value"], list(_figures(found)))


def _figures(found: Any, *keys: str) -> Iterator[tuple[str, str]]:
    inner: Iterable[tuple[Any, Any]] | None = None
    if isinstance(found, dict | list):
        inner = found.items() if isinstance(found, dict) else enumerate(found, start=1)
    if inner is None:
        yield " / ".join(keys), f"{found:.4g}" if isinstance(found, float) else str(found)
        return
    for key, value in inner:
        yield from _figures(value, *keys, str(key))


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results_page", description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, help="file to write")
    parser.add_argument("benchmarks", nargs="+", metavar="NAME", help="modules of benchmarks/")
    parser.add_argument("--title", default="What predictions cost")
    arguments = parser.parse_args()
    sections = [section(name) for name in arguments.benchmarks]
    command = f'benchmarks.results_page {arguments.page} {" ".join(arguments.benchmarks)} --title "{arguments.title}"'
    write_page(arguments.page, arguments.title, command, "\n".join(["", *sections]))


if __name__ == "__main__":
    main()
