"""Write the histories of runs as CSV: a row for each run, epoch and split, a column for each metric."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError
from labwright.runs.directory import RunDirectory
from labwright.runs.durable import write_durably
from labwright.runs.history import History
from labwright.runs.listing.find import MEANINGS, find_runs

from .base import Project
from .table import csv_text

_PLACE = ("run", "epoch", "step", "split")


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{MEANINGS}; or a filter, which means all it fits")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: stdout)")


def run(given: Namespace, project: Project) -> None:
    rows = [row for found in find_runs(given.runs, project.results_dir) for row in _rows(found)]
    names = list(dict.fromkeys([*_PLACE, *(name for row in rows for name in row)]))
    text = csv_text(names, [[row.get(name) for name in names] for row in rows])
    if given.output is None:
        print(text, end="")
        return
    write_durably(given.output.expanduser(), text.encode())
    print(f"{given.output}: {len(rows):,} rows")


def _rows(found: RunDirectory) -> list[dict[str, Any]]:
    """The history, flat; a metric that was NaN or infinite is `nan`, one that was not measured is missing."""
    try:
        rows = History.load(found.history_path).rows
        return [
            {"run": found.path.name, **{name: row[name] for name in _PLACE[1:]}, **_extra(row), **row["metrics"]}
            for row in rows
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{found.history_path} is damaged ({error})") from None


def _extra(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in (*_PLACE, "metrics")}
