"""What differs between two runs, or between a run and the code here: code, arguments, environment, data, results."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from labwright.args.machine import config_path
from labwright.runs.durable import strict_json
from labwright.runs.listing.find import MEANINGS, find_run

from .base import Project


def add_flags(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("a", metavar="A", help=MEANINGS)
    parser.add_argument("b", metavar="B", nargs="?", help="another run; left out: the code and environment as they are")
    parser.add_argument("--patch", action="store_true", help="show the changed lines of the code, not a line per file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--exit_code", action="store_true", help="exit with 1 if anything differs (otherwise always 0)")


def run(given: Namespace, project: Project) -> int:
    """Print the differences."""
    from labwright.runs.differences import diff_from_now, diff_runs

    a = find_run(given.a, project.results_dir)
    if given.b is None:
        folders = (project.results_dir, project.machine.cache_dir)
        found = diff_from_now(a, config_path().parent, patch=given.patch, leave_out=folders)
    else:
        found = diff_runs(a, find_run(given.b, project.results_dir), patch=given.patch, here=Path.cwd())
    print(strict_json(found.to_json(), indent=2).decode() if given.json else "\n".join(found.lines()))
    return 1 if given.exit_code and not found.is_same else 0
