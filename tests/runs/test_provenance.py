import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from labwright.runs.provenance import git_state, host, versions

from ..repositories import forget_settings, git, new_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one committed file, on the branch `trunk`."""
    forget_settings(monkeypatch, tmp_path)
    return new_repository(tmp_path / "repository", {"model.py": "1"})


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
    monkeypatch.setattr("labwright.runs.code.git.TIMEOUT_SECONDS", 0.2)
    assert git_state(tmp_path) is None


def test_versions_are_of_python_and_all_that_is_installed() -> None:
    found = versions()
    names, rest = [*found][1:], {re.sub(r"[-_.]+", "-", each.name).lower() for each in metadata.distributions()}
    assert names == sorted(names) and {*names} == rest
    assert found["python"] == platform.python_version()
    assert found["pydantic"] == metadata.version("pydantic")
    assert versions(["pydantic", "no-such-distribution"]) == {"pydantic": found["pydantic"]}


def test_what_stands_first_on_the_path_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydantic-9.9.dist-info", "Old_Style.egg-info", "egg-2.0-py3.11.egg-info", "no.dist"):
        (tmp_path / name).mkdir()
    (tmp_path / "Old_Style.egg-info" / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: Old_Style\nVersion: 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = versions()
    assert (found["pydantic"], found["old-style"], found["egg"]) == ("9.9", "0.5", "2.0")
    assert "no" not in found


def test_the_host_is_this_one() -> None:
    assert host()["pid"] == os.getpid()
    assert host()["num_cpus"] >= 1
    assert host()["memory"] > 2**20 or sys.platform != "linux"
