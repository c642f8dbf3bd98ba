"""Where a run comes from: code, versions, computer."""

import contextlib
import os
import platform
import re
import sys
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from .code.git import Git, GitError


class GitState(TypedDict):
    """The commit a run started from; `dirty` if files under version control differ from it."""

    commit: str | None
    branch: str | None
    dirty: bool


def git_state(directory: Path) -> GitState | None:
    """Commit, branch and dirtiness of the repository around `directory`; None without git or a repository."""
    words = ("status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z")
    try:
        answer = Git(directory)(*words).decode("utf-8", "replace")
    except GitError:
        return None
    return _parse_status([line for line in answer.split("\0") if line])


def _parse_status(lines: list[str]) -> GitState:
    headers = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    return {
        "commit": None if commit == "(initial)" else commit,
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("# ") for line in lines),
    }


def versions(names: Collection[str] | None = None) -> dict[str, str]:
    """The versions of Python and of every installed distribution, or of `names` alone; nothing is imported.

    They are read from the names of the folders that pip leaves, so that hundreds cost a few milliseconds.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):  # what stands first is what an import finds
        for name, version in _distributions(Path(folder or ".")):
            found.setdefault(name, version)
    every = {"python": platform.python_version()} | dict(sorted(found.items()))
    return every if names is None else {name: every[name] for name in names if name in every}


def _distributions(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        names = os.listdir(folder)
    except OSError:  # zip files, and folders that are not there
        return
    for stem, ending in map(os.path.splitext, names):
        if ending not in (".dist-info", ".egg-info"):
            continue
        name, _, version = stem.partition("-")
        name = re.sub(r"[-_.]+", "-", name).lower()
        if not version:  # `pip install -e` as it was: the version stands inside only
            version = next((each.version for each in metadata.distributions(name=name, path=[str(folder)])), "unknown")
        yield name, re.sub(r"-py3(\.\d+)?$", "", version)


def host() -> dict[str, Any]:
    """The computer and the process a run is on."""
    return {
        "hostname": platform.node(),
        "platform": platform.platform(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "memory": _memory_bytes(),
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "pid": os.getpid(),
    }


def _cpu_model() -> str | None:
    """The name of the processor, where the system tells."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _memory_bytes() -> int | None:
    """The size of the computer's memory, where the system tells."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
