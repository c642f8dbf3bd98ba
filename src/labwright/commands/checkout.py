"""Restore the code of a run, uncommitted and untracked files included, in a worktree beside the repository."""

import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args.errors import UserError
from labwright.runs import RunDirectory
from labwright.runs.listing.find import find_run

from .base import Project

if TYPE_CHECKING:
    from labwright.runs.code.snapshot import Snapshot


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, unique part of it, path, `last` or best:val/accuracy")
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        nargs="?",
        help="new or empty (default: <repository>-<run id>, beside it)",
    )


def run(given: Namespace, project: Project) -> None:
    from labwright.runs.code.restore import checkout_snapshot, repository_of

    found = find_run(given.run, project.results_dir)
    snapshot = snapshot_of(found)
    repository = repository_of(snapshot, Path.cwd())
    target: Path = given.folder or repository.with_name(f"{repository.name}-{found.path.name}")
    target = Path(os.path.abspath(target.expanduser()))
    missing = checkout_snapshot(repository, snapshot.commit, target)
    for path in missing:
        print(f"note: the submodule {path} is left empty: its commit is not at hand", file=sys.stderr)
    for skipped in snapshot.skipped:
        print(f"note: {skipped['path']}: {skipped['reason']}", file=sys.stderr)
    print(target)
    print("To repeat the run with this code:", file=sys.stderr)
    print(f"  cd {shlex.quote(str(target / snapshot.folder))}", file=sys.stderr)
    print(f"  {shlex.join(_repeating_words(found, target / snapshot.folder))}", file=sys.stderr)


def snapshot_of(found: RunDirectory) -> "Snapshot":
    """The snapshot of a run; a UserError where its code was not kept."""
    from labwright.runs.code.snapshot import Snapshot

    snapshot = Snapshot.of(found.record())
    if snapshot is None:
        raise UserError(f"{found.path.name}: its code was not kept (no git repository, or --no-snapshot)")
    return snapshot


def _repeating_words(found: RunDirectory, folder: Path) -> list[str]:
    """The command that repeats a run with the code in `folder`, on the data and into the results of before."""
    record = found.record()
    flags: list[str] = [str(flag) for flag in record.get("flags") or []]
    said = {flag.partition("=")[0] for flag in flags}
    machine: dict[str, Any] = record.get("machine") or {}
    places = [f"--{name}={machine[name]}" for name in ("cache_dir", "results_dir") if machine.get(name)]
    program = ["python", "run.py"] if (folder / "run.py").is_file() else ["labwright"]
    places = [flag for flag in places if flag.partition("=")[0] not in said]
    return [*program, f"--config={found.args_path}", *flags, *places]
