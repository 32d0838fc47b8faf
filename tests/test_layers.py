"""Imports point downward only: flows > stages > (wavefoundry | storage), which do not know each other."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
# The tools of the pipeline and the layers above; the science works without them.
FORBIDDEN = {
    "wavefoundry": {"storage", "stages", "flows", "dvc", "prefect", "mlflow", "yaml", "ruamel"},
    "storage": {"wavefoundry", "stages", "flows", "prefect", "yaml", "ruamel"},
    "stages": {"flows", "prefect", "dvc"},
    "flows": set(),
}


def imports(source: str) -> set[str]:
    """First parts of the names of all modules that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # A relative import stays in its package; none is used, so that every origin can be read off.
            found.add("." if node.level else node.module.split(".")[0])
    return found


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_imports_nothing_from_above(layer):
    files = sorted((TOP / layer).rglob("*.py"))
    assert files
    for file in files:
        wrong = imports(file.read_text()) & (FORBIDDEN[layer] | {"."})
        assert not wrong, f"{file.relative_to(TOP)} imports {', '.join(sorted(wrong))}"


def test_science_names_no_path_of_the_project():
    for file in sorted((TOP / "wavefoundry").rglob("*.py")):
        strings = [n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)]
        wrong = [s for s in strings if isinstance(s, str) and s.endswith(("params.yaml", "dvc.yaml", "dvc.lock"))]
        assert not wrong, f"{file.relative_to(TOP)} names {wrong}"


def test_package_markers_stay_empty():
    """Except the one that must come before others: Prefect reads its settings when it is imported."""
    filled = {TOP / "flows/__init__.py"}
    for layer in FORBIDDEN:
        for file in set((TOP / layer).rglob("__init__.py")) - filled:
            assert not file.read_text().strip(), file.relative_to(TOP)


def test_the_check_sees_every_kind_of_import():
    source = "import a.b as c\ndef f():\n    from d.e import g\n    if True:\n        import h, i\nfrom . import j\n"
    assert imports(source) == {"a", "d", "h", "i", "."}
