"""Git repositories for tests: nobody's settings, and a commit to begin with."""

import os
import subprocess
from pathlib import Path

import pytest


def git(folder: Path, *words: str) -> str:
    """What git says, as a user of its own."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    answer = subprocess.run(["git", *identity, "-C", str(folder), *words], capture_output=True, check=True)
    return os.fsdecode(answer.stdout).rstrip("\n")


def forget_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine count, and no repository around the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def new_repository(folder: Path, files: dict[str, str]) -> Path:
    """A repository with these files committed, on the branch `trunk`."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--initial-branch=trunk")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "--message=first")
    return folder


def snapshots_in(repository: Path) -> dict[str, str]:
    """The commit of every run's code that a repository keeps, by its reference."""
    lines = git(repository, "for-each-ref", "--format=%(refname) %(objectname)", "refs/labwright/").splitlines()
    return dict(line.split(" ") for line in lines)
