"""Where a run comes from: code, versions, computer."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

_GIT_TIMEOUT_SECONDS = 10


class GitState(TypedDict):
    """The commit a run started from; `dirty` if files under version control differ from it."""

    commit: str | None
    branch: str | None
    dirty: bool


def git_state(directory: Path) -> GitState | None:
    """Commit, branch and dirtiness of the repository around `directory`; None without git or a repository."""
    # fsmonitor would run a program that the repository names; optional locks would disturb a git at work beside us.
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(directory)]
    command += ["status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z"]
    # Inside a git hook these name the repository of the hook, not the one around `directory`.
    hook_variables = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    environment = {name: value for name, value in os.environ.items() if name not in hook_variables}
    try:
        answer = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_TIMEOUT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _parse_status([line for line in answer.stdout.split("\0") if line])


def _parse_status(lines: list[str]) -> GitState:
    headers = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    return {
        "commit": None if commit == "(initial)" else commit,
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("# ") for line in lines),
    }


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each named distribution, without importing any; those not installed are left out."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """The computer and the process a run is on."""
    return {
        "hostname": platform.node(),
        "platform": platform.platform(),
        "architecture": platform.machine(),
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "pid": os.getpid(),
    }
