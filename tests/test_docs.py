"""What the docs name is there: versions, files, and the targets of make."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_versions_are_those_of_the_environment(page):
    pinned = (PROJECT / "requirements.lock").read_text().lower().splitlines()
    for named in re.findall(r"\b[a-z][a-z0-9_-]*==[0-9][0-9.]*\b", page.read_text()):
        assert named in pinned


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


def headings(file):
    """Names of a page's headings, as they are linked."""
    found = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_make_and_of_the_project_are_there(page):
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    text = page.read_text()
    for named in re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE):
        assert named in targets, named
    for module in re.findall(r"python -m ((?:flows|stages|storage|benchmarks)(?:\.[a-z_]+)*)\b(?!\.)", text):
        file = PROJECT / module.replace(".", "/")
        assert file.with_suffix(".py").exists() or (file / "__main__.py").exists(), module


def test_make_help_lists_what_people_call():
    text = (PROJECT / "Makefile").read_text()
    told = set(re.findall(r"^([a-z-]+):.* ## ", text, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert told == phony
