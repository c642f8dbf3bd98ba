"""Snapshots for tests: taken without a complaint, and what they hold."""

import subprocess
from pathlib import Path
from typing import Any

from labwright.runs.code.git import Git
from labwright.runs.code.objects import entries_of
from labwright.runs.code.snapshot import Snapshot, take_snapshot

RUN = "2026-01-31_12-00-00_ab12"


def taken(folder: Path, run_id: str = RUN, **options: Any) -> Snapshot:
    complaints: list[str] = []
    found = take_snapshot(folder, run_id, warn=complaints.append, **options)
    assert found is not None and complaints == []
    return found


def kept(repository: Path, snapshot: Snapshot) -> dict[str, tuple[str, bytes]]:
    """Mode and content of every path in the snapshot."""
    return {
        path: (entry.mode, b"" if entry.mode == "160000" else read(repository, entry.oid))
        for path, entry in entries_of(Git(repository), snapshot.tree)
    }


def read(repository: Path, oid: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(repository), "cat-file", "blob", oid], capture_output=True, check=True
    ).stdout


def reasons(snapshot: Snapshot) -> dict[str, str]:
    return {each["path"]: each["reason"] for each in snapshot.skipped}
