"""Delete runs for good and free their disk space; asks first."""

import contextlib
import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from labwright.args.errors import UserError
from labwright.runs.directory import RunDirectory
from labwright.runs.listing.find import MEANINGS, find_runs
from labwright.runs.listing.index import RUN_ID, as_it_is_now
from labwright.runs.listing.summary import RunSummary, summarize
from labwright.runs.lock import RunLock, is_locked
from labwright.runs.sizes import bytes_text

from .base import Project, confirmed
from .show import size_of
from .table import print_table


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{MEANINGS}; or a filter, which means all it fits")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(given: Namespace, project: Project) -> int:
    results_dir = project.results_dir
    found = find_runs(given.runs, results_dir)
    for each in found:
        _check(each.path, results_dir)
    sizes = [size_of(each.path) for each in found]
    print_table(
        ["run", "experiment", "status", "tags", "size"],
        [_row(as_it_is_now(summarize(each.path)), size) for each, size in zip(found, sizes, strict=True)],
    )
    what = f"{len(found)} run{'s' * (len(found) > 1)}, {bytes_text(sum(sizes))}"
    if not given.yes and not confirmed(f"Delete {what}?"):
        print("nothing was deleted")
        return 1
    for each in found:
        _delete(each)
    print(f"deleted {what}")
    return 0


def _row(run: RunSummary, size: int) -> list[str]:
    return [run.id, run.experiment_id, run.status, ", ".join(run.tags), bytes_text(size)]


def _check(path: Path, results_dir: Path) -> None:
    """Raise a UserError unless the run lies within the results directory, and nobody is at work in it."""
    if not path.parent.resolve().is_relative_to(results_dir.resolve()):
        raise UserError(f"{path} is not in {results_dir}; only runs in there are deleted (see --results_dir)")
    if not RUN_ID.fullmatch(path.name):
        raise UserError(f"{path} is not named like a run, and may hold more than one; delete it by hand")
    if is_locked(path):
        raise UserError(f"{path.name} is running; stop it first")


def _delete(found: RunDirectory) -> None:
    """Remove the run's code from git, then its files, run.json last: what is cut short is still a run in the list."""
    path = found.path
    if path.is_symlink():
        return path.unlink()
    with RunLock.take(path):
        with contextlib.suppress(UserError):  # of a damaged run nobody knows the repository
            _forget_code(found)
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != found.record_path:
                entry.unlink()
        found.record_path.unlink(missing_ok=True)
        path.rmdir()


def _forget_code(found: RunDirectory) -> None:
    from labwright.runs.code.snapshot import Snapshot, drop_snapshot

    snapshot = Snapshot.of(found.record())
    if snapshot is not None:
        drop_snapshot(Path(snapshot.repository), found.path.name)
