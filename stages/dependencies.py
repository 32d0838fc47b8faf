"""The code that each stage of dvc.yaml depends on, derived from what its module imports.

`python -m stages.dependencies` writes it into dvc.yaml; the flow, stage `params` and a test refuse a dvc.yaml that
differs.

A dependency on code is a path to a Python file in one of the project's packages. What is found by name (families,
objectives, methods, tasks) is not imported in so many words: stage `inputs` writes digests of it into data/inputs, on
which the stages of an entry depend.
"""

import argparse
import ast
import io
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from stages.stage import clear_errors
from storage.replacement import replace_file
from wavefoundry.errors import InputError

DAG = Path("dvc.yaml")
PACKAGES = ("stages", "storage", "wavefoundry")
# Modules that cannot change what a stage writes; neither they nor what only they import are dependencies.
WITHOUT_INFLUENCE = {
    "stages.params": "reads and checks params.yaml; what a stage uses of it are its parameters in dvc.yaml, and what "
    "follows from them stands in the files of stage inputs",
    "stages.yaml_files": "reads params.yaml and dvc.yaml, as above",
    "stages.stage": "the frame of every stage: records it, and removes what a failed stage has written",
    "storage.tracking": "tells MLflow what a stage has done",
    "storage.git": "tells which commit is checked out, for records",
}
# Stages that read the code as data: they depend on the packages as a whole.
READERS_OF_CODE = ("params", "inputs")


def module_file(name: str) -> Path | None:
    """The file of one of the project's modules or packages; None for any other name."""
    if name.split(".")[0] not in PACKAGES:
        return None
    path = Path(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def closure(modules: Iterable[str]) -> list[Path]:
    """Files of some of the project's modules and of all that they import, wherever in their text.

    Empty files are left out, and so is what WITHOUT_INFLUENCE names, unless it is asked for by name.
    """
    waiting, seen = list(modules), set()
    while waiting:
        name = waiting.pop()
        file = module_file(name)
        if file is None or name in seen:
            continue
        seen.add(name)
        waiting += [other for other in _imports(file) if not _is_without_influence(other)]
        # Importing a module runs the packages around it.
        waiting += [name.rpartition(".")[0]] if "." in name else []
    files = (module_file(name) for name in seen)
    return sorted(file for file in files if file is not None and file.stat().st_size)


def _is_without_influence(name: str) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in WITHOUT_INFLUENCE)


@cache
def _imports(file: Path) -> tuple[str, ...]:
    found = []
    for node in _nodes_that_run(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is imported from a package may be a module of it.
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in found if module_file(name))


def _nodes_that_run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see (`if TYPE_CHECKING:`)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _nodes_that_run(child)


def code_dependencies(stage: str, definition: dict) -> list[str]:
    """The dependencies on code of a stage, or of the stages of a `foreach`.

    Args:
        stage: its name in dvc.yaml.
        definition: what stands there.

    Raises:
        InputError: its command does not run a module of the project.
    """
    if stage in READERS_OF_CODE:
        return list(PACKAGES)
    words = str(definition.get("do", definition)["cmd"]).split()
    if words[:2] != ["python", "-m"] or not words[2:] or module_file(words[2]) is None:
        raise InputError(f"{DAG}: stages.{stage}.cmd is {' '.join(words)!r}, allowed: python -m stages.MODULE ...")
    return [file.as_posix() for file in closure([words[2]])]


def is_code(dependency: str) -> bool:
    """Whether a dependency in dvc.yaml is one that this module writes."""
    return dependency in PACKAGES or (dependency.split("/")[0] in PACKAGES and dependency.endswith(".py"))


def complete(text: str) -> str:
    """The text of a dvc.yaml with the dependencies on code that belong there; the rest stays as it is.

    Raises:
        InputError: as `code_dependencies`.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    for name, definition in content["stages"].items():
        inner = definition.get("do", definition)
        others = [dependency for dependency in inner.get("deps", ()) if not is_code(str(dependency))]
        inner["deps"] = [*others, *code_dependencies(name, definition)]
    result = io.StringIO()
    yaml.dump(content, result)
    return result.getvalue()


def check() -> None:
    """Refuse a dvc.yaml whose dependencies on code are not those that the stages import.

    Raises:
        InputError: what differs first, and what to do.
    """
    from stages.yaml_files import read_dag

    stages = read_dag(DAG)["stages"]
    for name, definition in stages.items():
        found = {str(path) for path in definition.get("do", definition).get("deps", ()) if is_code(str(path))}
        wanted = set(code_dependencies(name, definition))
        for path in sorted(wanted ^ found):
            word = "does not name" if path in wanted else "names"
            reason = "which its module imports" if path in wanted else "which its module does not import"
            raise InputError(
                f"{DAG}: stages.{name}.deps {word} {path}, {reason}; write it anew: python -m stages.dependencies"
            )


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.dependencies", description=__doc__.splitlines()[0])
    parser.parse_args()
    from stages.yaml_files import read_dag, read_text

    read_dag(DAG)  # refuses what has no stages
    text = read_text(DAG)
    completed = complete(text)
    if completed == text:
        print(f"{DAG} names the code that its stages import already")
        return
    replace_file(DAG, completed)
    print(f"{DAG} names the code that its stages import now")


if __name__ == "__main__":
    main()
