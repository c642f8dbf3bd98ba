import os
import subprocess
from pathlib import Path

import pytest

from labwright.runs.provenance import git_state, host, versions


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one committed file, on the branch `trunk`."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--initial-branch=trunk")
    (repository / "model.py").write_text("1")
    git(repository, "add", ".")
    git(repository, "commit", "--message=first")
    return repository


def test_a_clean_repository_gives_commit_and_branch(repository: Path) -> None:
    (repository / "sub").mkdir()
    expected = {"commit": git(repository, "rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    assert git_state(repository / "sub") == expected


def test_a_changed_file_makes_it_dirty_and_an_untracked_one_does_not(repository: Path) -> None:
    (repository / "results.txt").write_text("new")
    clean = git_state(repository)
    (repository / "model.py").write_text("2")
    dirty = git_state(repository)
    assert clean is not None and not clean["dirty"]
    assert dirty is not None and dirty["dirty"]


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--detach")
    state = git_state(repository)
    assert state is not None
    assert state["branch"] is None


def test_a_repository_without_commits_has_a_branch_only(tmp_path: Path) -> None:
    git(tmp_path, "init", "--initial-branch=trunk")
    assert git_state(tmp_path) == {"commit": None, "branch": "trunk", "dirty": False}


def test_inside_a_git_hook_the_repository_is_still_the_one_asked_for(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--bare", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    state = git_state(repository)
    assert state is not None
    assert state["branch"] == "trunk"


def test_a_repository_cannot_make_us_run_a_program(repository: Path, tmp_path: Path) -> None:
    monitor = tmp_path / "monitor.sh"
    monitor.write_text(f"#!/bin/sh\ntouch '{tmp_path}/executed'\n")
    monitor.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(monitor))
    assert git_state(repository) is not None
    assert not (tmp_path / "executed").exists()


def test_without_a_repository_or_git_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


def test_a_git_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nread forever < /dev/zero\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("labwright.runs.provenance._GIT_TIMEOUT_SECONDS", 0.2)
    assert git_state(tmp_path) is None


def test_versions_are_of_what_is_installed() -> None:
    found = versions(["pydantic", "no-such-distribution"])
    assert list(found) == ["pydantic"]
    assert found["pydantic"][0].isdigit()


def test_the_host_is_this_one() -> None:
    assert host()["pid"] == os.getpid()
    assert host()["num_cpus"] >= 1
