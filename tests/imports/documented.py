"""The entries of params.yaml that docs/bring-your-own.md shows."""

import re

from pydantic import TypeAdapter

from stages.yaml_files import load
from tests.parameters import PROJECT
from wavefoundry.imports.options import Imported


def documented(name: str, files) -> Imported:
    """An entry of docs/bring-your-own.md as it is checked, of files elsewhere."""
    blocks = re.findall(
        r"```yaml\n(?:imported:\n)?(.*?)```", (PROJECT / "docs/bring-your-own.md").read_text(), re.DOTALL
    )
    (text,) = (block for block in blocks if block.startswith(f"  {name}:\n"))
    return TypeAdapter(Imported).validate_python(load(text, "docs")[name] | {"files": str(files)})
