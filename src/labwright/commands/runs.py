"""List runs, newest first, all or those that fit a filter such as 'val/accuracy>0.9 and model.kind=="mlp"'."""

import dataclasses
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError
from labwright.args.wording import spelled
from labwright.runs.durable import strict_json
from labwright.runs.flat_args import differing_args, short_names
from labwright.runs.listing.fields import Fields, Reader
from labwright.runs.listing.index import read_index
from labwright.runs.listing.query import select
from labwright.runs.listing.summary import RunSummary

from .base import Project
from .known_since import with_defaults
from .table import csv_text, number_text, print_table

_AT_A_TERMINAL = 40
_MOST_WITH_ARGS = 200
"""More runs than this differ in everything: a column that says in what would help nobody."""
_UNITS = ((86400.0 * 365, "y"), (86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))

Columns = dict[str, Callable[[RunSummary], str]]


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "filter",
        nargs="*",
        metavar="FILTER",
        help="comparisons of metrics, arguments and facts (status, tag, started_at, ...) with == != < <= > >= =~ in "
        "contains, joined by and, or, not; quote the whole of it",
    )
    parser.add_argument("--sort", metavar="NAME", help="by this metric, argument or fact; --sort=-NAME: largest first")
    parser.add_argument("--columns", metavar="NAMES", help="show these metrics, arguments and facts: --columns=id,seed")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help=f"the first N (default: 0, all; at a terminal {_AT_A_TERMINAL})",
    )
    parser.add_argument(
        "--tag", action="append", default=[], metavar="WORD", help="only runs with this tag; repeatable"
    )
    parser.add_argument("--experiment", metavar="ID", help="only runs of this experiment")
    parser.add_argument("--archived", action="store_true", help="only archived runs")
    parser.add_argument("--all", action="store_true", help="archived runs too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything known of each run, or the columns, as JSON")
    form.add_argument("--csv", action="store_true", help="the same as CSV")


def run(given: Namespace, project: Project) -> None:
    known = read_index(project.results_dir)
    fields = Fields(known)
    names = [name.strip() for name in (given.columns or "").split(",") if name.strip()]
    readers = {name: fields.reader(name) for name in names} if known else {}
    fitting = [each for each in _fitting(known, given) if _is_wanted(each, given)]
    ordered = _sorted(fitting, given.sort, fields) if known else []
    shown = _limited(ordered, given)
    if given.json:
        print(strict_json([_values(each, readers) for each in shown], indent=2).decode())
    elif given.csv:
        print(_csv(shown, readers, fields), end="")
    elif shown:
        columns = {name: _shown(reader) for name, reader in readers.items()} or _usual_columns(shown, project)
        print_table(list(columns), [[cell(each) for cell in columns.values()] for each in shown])
    _say_what_is_missing(known, ordered, shown, given, project)


def _fitting(known: list[RunSummary], given: Namespace) -> list[RunSummary]:
    text = " ".join(given.filter)
    return select(known, text) if text.strip() else known


def _is_wanted(each: RunSummary, given: Namespace) -> bool:
    is_in_sight = given.all or each.archived == given.archived
    is_of_experiment = given.experiment in (None, each.experiment_id)
    return is_in_sight and is_of_experiment and set(given.tag) <= set(each.tags)


def _sorted(runs: list[RunSummary], sort: str | None, fields: Fields) -> list[RunSummary]:
    """Newest first, or by what `sort` names; runs without that come last."""
    newest_first = runs[::-1]
    if sort is None:
        return newest_first
    name = sort.removeprefix("-")
    read = fields.reader(name)
    have = [each for each in newest_first if read(each) is not None]
    have.sort(key=lambda each: _order(read(each)), reverse=sort != name)
    return [*have, *(each for each in newest_first if read(each) is None)]


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers among numbers, and everything else as text."""
    is_number = isinstance(value, int | float)
    return (not is_number, value if is_number else spelled(value))


def _limited(runs: list[RunSummary], given: Namespace) -> list[RunSummary]:
    if given.limit is not None and given.limit < 0:
        raise UserError(f"--limit: {given.limit} is negative; 0 shows all")
    is_for_eyes = sys.stdout.isatty() and not given.json and not given.csv
    limit = given.limit if given.limit is not None else _AT_A_TERMINAL if is_for_eyes else 0
    return runs[:limit] if limit else runs


def _say_what_is_missing(
    known: list[RunSummary], fitting: list[RunSummary], shown: list[RunSummary], given: Namespace, project: Project
) -> None:
    """On stderr, why there are not more."""
    lines: list[str] = []
    archived = sum(each.archived for each in known)
    if not known:
        python = "python " * project.prog.endswith(".py")
        lines.append(f"no runs in {project.results_dir}; make one: {python}{project.prog} --experiment_id=ID")
    elif not shown:
        lines.append(f"none of the {len(known):,} runs in {project.results_dir} fits")
    if len(shown) < len(fitting):
        lines.append(f"{len(shown):,} of {len(fitting):,} runs; --limit=0 shows all")
    if archived and not given.all and not given.archived:
        lines.append(f"{archived:,} archived, shown with --all")
    for line in lines:
        print(line, file=sys.stderr)


# -- what is shown


def _usual_columns(runs: list[RunSummary], project: Project) -> Columns:
    now = time.time()
    best, tested = _common([each.best_metric for each in runs]), _common([_main_test_metric(each) for each in runs])
    return {
        "run": lambda each: each.id,
        "experiment": lambda each: each.experiment_id,
        "status": lambda each: f"{each.status}{' (debug)' * each.debug}",
        "age": lambda each: duration_text(now - each.started) if each.started else "",
        "epochs": _epochs,
        best or "best": lambda each: _metric(each, each.best_metric, with_name=best is None),
        tested or "test": lambda each: _metric(each, _main_test_metric(each), with_name=tested is None),
        "tags": lambda each: ", ".join(each.tags),
        "args": _differing(runs, project),
        "note": lambda each: each.note or "",
    }


def _common(names: Sequence[str | None]) -> str | None:
    """The one name among them, if there is only one."""
    found = {name for name in names if name is not None}
    return found.pop() if len(found) == 1 else None


def _main_test_metric(each: RunSummary) -> str | None:
    """The first test metric that is not the loss, which is harder to read."""
    tested = [name for name in each.metrics if name.startswith("test")]
    return next((name for name in tested if not name.endswith("/loss")), tested[0] if tested else None)


def _metric(each: RunSummary, name: str | None, *, with_name: bool) -> str:
    value = each.metrics.get(name or "")
    if value is None:
        return ""
    return f"{name} {number_text(value)}" if with_name else number_text(value)


def _epochs(each: RunSummary) -> str:
    wanted = each.args.get("epochs")
    return f"{each.epoch}/{wanted}" if isinstance(wanted, int) else str(each.epoch)


def _differing(runs: list[RunSummary], project: Project) -> Callable[[RunSummary], str]:
    """The arguments in which the runs of an experiment differ: what another one has is told by its name."""
    if len(runs) > _MOST_WITH_ARGS:
        return lambda each: ""
    every = with_defaults([each.args for each in runs], project)
    by_experiment: dict[str, list[Mapping[str, Any]]] = {}
    for each, args in zip(runs, every, strict=True):
        by_experiment.setdefault(each.experiment_id, []).append(args)
    names = {experiment_id: differing_args(args) for experiment_id, args in by_experiment.items()}
    short = short_names(list(dict.fromkeys(name for args in every for name in args)))
    texts = {
        each.path: " ".join(
            f"{short[name]}={_arg_text(args[name])}" for name in names[each.experiment_id] if name in args
        )
        for each, args in zip(runs, every, strict=True)
    }
    return lambda each: texts[each.path]


def _arg_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else spelled(value)


def duration_text(seconds: float) -> str:
    """`3 h`, `2 d`: as long as something took, roughly."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{max(seconds, 0) / size:.0f} {unit}"


def _shown(read: Reader) -> Callable[[RunSummary], str]:
    def cell(each: RunSummary) -> str:
        value = read(each)
        if value is None:
            return ""
        if isinstance(value, float):
            return number_text(value)
        return ", ".join(value) if value is each.tags else spelled(value)

    return cell


# -- what a script reads


def facts_of(each: RunSummary) -> dict[str, Any]:
    """Everything that is known of a run, as JSON-like values."""
    names = [field.name for field in dataclasses.fields(each) if field.name != "started"]
    values = {name: getattr(each, name) for name in names}
    return {"id": each.id, **values, "path": str(each.path)}


def _values(each: RunSummary, readers: dict[str, Reader]) -> dict[str, Any]:
    return {name: read(each) for name, read in readers.items()} or facts_of(each)


def _csv(runs: list[RunSummary], readers: dict[str, Reader], fields: Fields) -> str:
    if readers:
        return csv_text(list(readers), [[read(each) for read in readers.values()] for each in runs])
    facts = [name for name in facts_of(RunSummary(Path(), "")) if name not in ("args", "metrics", "last")]
    names = [*facts, *fields.metrics, *(f"args.{path}" for path in fields.args)]
    rows = [
        [facts_of(each)[name] for name in facts]
        + [each.metrics.get(name) for name in fields.metrics]
        + [each.args.get(path) for path in fields.args]
        for each in runs
    ]
    return csv_text(names, rows)
