"""What git has checked out is named, and its absence is no error."""

import subprocess

import pytest

from storage.git import head

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Temporary folders may lie inside another repository.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def git(*arguments):
    return subprocess.run([*GIT, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_commit_and_branch(folder):
    git("init", "-q", "-b", "trunk")
    git("commit", "-q", "--allow-empty", "-m", "x")
    commit = git("log", "-1", "--format=%H")
    found = head()
    assert (found["commit"], found["branch"]) == (commit, "trunk")
    assert len(found["short"]) >= 4 and commit.startswith(found["short"])
    git("checkout", "-q", "--detach")
    assert head() == found | {"branch": "HEAD"}


def test_nothing_is_told_without_a_repository_a_commit_or_git(folder, monkeypatch):
    assert head() == {}
    git("init", "-q")
    assert head() == {}
    git("commit", "-q", "--allow-empty", "-m", "x")
    monkeypatch.setenv("PATH", "")
    assert head() == {}
