"""Runs side by side: differing arguments, metrics, groups of seeds, and their histories in one picture."""

import hashlib
import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError
from labwright.args.wording import listed, spelled
from labwright.runs.comparison import Column, ComparedRun, Comparison, Group, compare
from labwright.runs.durable import strict_json
from labwright.runs.listing.find import find_runs

from .base import Project
from .table import csv_text, number_text, print_table

_MOST_COLUMNS = 6
"""Of metrics in the table; CSV and JSON have all."""
_FORMATS = (".png", ".pdf", ".svg")


def add_flags(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs, or expressions such as 'val/accuracy>0.9'")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME", help="such as val/loss; repeatable")
    parser.add_argument("--group", action="store_true", help="one row and curve for all runs that differ only in seed")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the picture: .png, .pdf or .svg (default: in RESULTS/comparisons)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON; draw only with --output")
    form.add_argument("--csv", action="store_true", help="print CSV; draw only with --output")


def run(given: Namespace, project: Project) -> None:
    """Print the table, draw the picture, and say where it is."""
    output: Path | None = given.output
    if output is not None and (output.suffix not in _FORMATS or not output.parent.is_dir()):
        raise UserError(f"--output={output}: must be a {', '.join(_FORMATS)} file in a folder that is there")
    found = find_runs(given.runs, project.results_dir)
    if len(found) < 2:
        raise UserError(f"compare needs two runs or more; given: {found[0].path.name}")
    comparison = compare(found, given.metric)
    if given.json:
        print(strict_json(_json(comparison), indent=2).decode())
    elif given.csv:
        print(_groups_csv(comparison) if given.group else _csv(comparison), end="")
    else:
        _print_tables(comparison, by_group=given.group)
    is_for_script = given.json or given.csv
    if output is not None or not is_for_script:
        path = _draw(comparison, output, project.results_dir, by_group=given.group)
        print(f"picture: {path}", file=sys.stderr if is_for_script else sys.stdout)


# -- for a person


def _print_tables(comparison: Comparison, *, by_group: bool) -> None:
    """A row per run, and below it a row per group where there are some; or these alone."""
    columns = comparison.columns[:_MOST_COLUMNS]
    if not by_group:
        _print_runs(comparison, columns)
    if by_group or comparison.has_groups:
        print(end="" if by_group else "\n")
        _print_groups(comparison, columns)
    if len(comparison.columns) > len(columns):
        hidden = listed([column.title for column in comparison.columns[len(columns) :]], 5)
        print(f"also measured: {hidden}; --metric=NAME shows one, --csv and --json show all", file=sys.stderr)


def _print_runs(comparison: Comparison, columns: Sequence[Column]) -> None:
    names, short = comparison.differing, comparison.short_names
    is_news = any(run.summary.status != "finished" for run in comparison.runs)
    print_table(
        ["run", "status", *(short[name] for name in names), *(column.title for column in columns)],
        [
            [run.summary.id, run.summary.status * is_news, *_args(run, names), *_metrics(run, columns)]
            for run in comparison.runs
        ],
    )
    if not names:
        print("the arguments of these runs are the same", file=sys.stderr)


def _print_groups(comparison: Comparison, columns: Sequence[Column]) -> None:
    names, short = comparison.differing_between_groups, comparison.short_names
    print_table(
        ["runs", *(short[name] for name in names), *(column.title for column in columns), "ids"],
        [
            [
                _count(group),
                *_args(group.runs[0], names),
                *(_spread(group, column) for column in columns),
                " ".join(run.short_id for run in group.runs),
            ]
            for group in comparison.groups
        ],
    )
    print("mean ± standard deviation (n - 1) over the finished runs; those of a row differ only in seed")


def _args(run: ComparedRun, names: Sequence[str]) -> list[str]:
    return [spelled(run.summary.args[name]) if name in run.summary.args else "" for name in names]


def _metrics(run: ComparedRun, columns: Sequence[Column]) -> list[str]:
    values = [run.value(column) for column in columns]
    return ["" if value is None else "NaN" if math.isnan(value) else number_text(value) for value in values]


def _count(group: Group) -> str:
    finished, every = len(group.finished), len(group.runs)
    return str(every) if finished == every else f"{every} ({finished} finished)"


def _spread(group: Group, column: Column) -> str:
    spread = group.spread(column)
    if spread is None:
        return ""
    deviation = "" if math.isnan(spread.deviation) else f" ± {number_text(spread.deviation)}"
    fewer = f" (n={spread.num_values})" if spread.num_values != len(group.finished) else ""
    return f"{number_text(spread.mean)}{deviation}{fewer}"


# -- for a script


def _json(comparison: Comparison) -> dict[str, Any]:
    names, columns = comparison.differing, comparison.columns
    runs = [
        {
            "run": run.summary.id,
            "path": str(run.summary.path),
            "status": run.summary.status,
            "args": {name: run.summary.args[name] for name in names if name in run.summary.args},
            "metrics": {column.title: run.value(column) for column in columns},
        }
        for run in comparison.runs
    ]
    groups = [
        {
            "runs": [run.summary.id for run in group.runs],
            "num_finished": len(group.finished),
            "metrics": {
                column.title: spread and spread._asdict() for column in columns for spread in [group.spread(column)]
            },
        }
        for group in comparison.groups
    ]
    return {"differing": names, "runs": runs, "groups": groups}


def _csv(comparison: Comparison) -> str:
    names, columns = comparison.differing, comparison.columns
    rows = [
        [
            run.summary.id,
            run.summary.status,
            *(run.summary.args.get(name) for name in names),
            *(run.value(column) for column in columns),
        ]
        for run in comparison.runs
    ]
    return csv_text(["run", "status", *names, *(column.title for column in columns)], rows)


def _groups_csv(comparison: Comparison) -> str:
    names, columns = comparison.differing_between_groups, comparison.columns
    rows: list[list[Any]] = []
    for group in comparison.groups:
        row = [len(group.runs), len(group.finished), *(group.runs[0].summary.args.get(name) for name in names)]
        for column in columns:
            row += group.spread(column) or (None, None, 0)
        rows.append(row)
    parts = [f"{column.title} {part}" for column in columns for part in ("mean", "sd", "n")]
    return csv_text(["runs", "finished", *names, *parts], rows)


# -- the picture


def _draw(comparison: Comparison, output: Path | None, results_dir: Path, *, by_group: bool) -> Path:
    """Draw the histories; where the picture is."""
    from labwright.runs.plots.comparison import MOST_COLORS, NUM_OF_MANY, plot_comparison

    metrics, curves = comparison.panels(), comparison.curves(by_group=by_group)
    is_cut = len(curves) > MOST_COLORS and comparison.columns
    path = output or _default_path(comparison, results_dir, [*metrics, str(by_group)])
    experiments = dict.fromkeys(run.summary.experiment_id for run in comparison.runs)
    try:
        if output is None:
            path.parent.mkdir(exist_ok=True)
        plot_comparison(
            curves,
            path,
            f"{', '.join(experiments)}: {len(comparison.runs)} runs",
            subtitle=f"in colour: the {NUM_OF_MANY} with the {comparison.columns[0].title}" if is_cut else "",
            metrics=metrics,
            is_lower_better=comparison.is_lower_better,
        )
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another with --output=FILE") from error
    return path


def _default_path(comparison: Comparison, results_dir: Path, choices: list[str]) -> Path:
    """The same comparison has the same file."""
    ids = [run.short_id for run in comparison.runs]
    key = json.dumps([str(run.summary.path) for run in comparison.runs] + choices)
    named = "-".join(ids[:4]) + (f"-and-{len(ids) - 4}-more" if len(ids) > 4 else "")
    return results_dir / "comparisons" / f"{named}_{hashlib.sha256(key.encode()).hexdigest()[:8]}.png"
