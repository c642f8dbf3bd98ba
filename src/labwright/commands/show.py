"""Show one run: arguments with where they came from, metrics with their curves, code, files, and how to go on."""

import os
import shlex
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labwright.args.wording import one_line, spelled
from labwright.runs.directory import RunDirectory
from labwright.runs.durable import strict_json
from labwright.runs.history import History, split_metric_name
from labwright.runs.listing.find import MEANINGS, find_run
from labwright.runs.listing.index import as_it_is_now, read_index
from labwright.runs.listing.summary import DAMAGED, RunSummary, lower_is_better, summarize
from labwright.runs.record import section
from labwright.runs.sizes import bytes_text

from .base import Project
from .runs import duration_text, facts_of
from .sparkline import sparkline
from .table import number_text, print_table

Facts = dict[str, str]


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=MEANINGS)
    parser.add_argument("--json", action="store_true", help="everything known of the run, as JSON")


def run(given: Namespace, project: Project) -> None:
    found = find_run(given.run, project.results_dir)
    summary = as_it_is_now(summarize(found.path))
    children = [each.id for each in read_index(project.results_dir) if each.parent == summary.id]
    record = _readable_record(found)
    if given.json:
        more = {"children": children, "files": dict(_files(found.path)), "record": record}
        print(strict_json(facts_of(summary) | more, indent=2).decode())
        return
    debug = " (debug)" * summary.debug
    print(f"{summary.id}: {summary.experiment_id} on {summary.dataset or 'unknown data'}, {summary.status}{debug}")
    _print_facts(_facts(summary, record, children) | _next_commands(summary, project.prog))
    _print_metrics(summary, found)
    _print_args(summary, record)
    print("\nfiles")
    print_table(["file", "size"], [[name, bytes_text(size)] for name, size in _files(found.path)])


def _readable_record(found: RunDirectory) -> dict[str, Any]:
    """run.json, empty where it is damaged; the summary says so."""
    try:
        return found.record()
    except ValueError:
        return {}


def _facts(summary: RunSummary, record: dict[str, Any], children: list[str]) -> Facts:
    """What there is to say in a line each."""
    return {
        "directory": str(summary.path),
        "name": summary.run_name or "",
        "problem": summary.problem or "",
        "started": _times(summary),
        "epochs": _epochs(summary),
        "resumed": _resumes(record),
        "tags": ", ".join(summary.tags),
        "note": summary.note or "",
        "archived": "yes" * summary.archived,
        "parent": summary.parent or "",
        "children": ", ".join(children),
        "code": _code(record.get("git")),
        "data": " ".join(_texts(record.get("dataset"), "name", "fingerprint", longest=40)),
        "computer": ", ".join([*_texts(record.get("host"), "hostname"), *_texts(record, "device")]),
        "warnings": "; ".join(map(str, section(record, "result").get("warnings") or [])),
    }


def _times(summary: RunSummary) -> str:
    if summary.started_at is None:
        return ""
    ago = f"{summary.started_at} ({duration_text(time.time() - summary.started)} ago)"
    return ago if summary.duration_seconds is None else f"{ago}, took {duration_text(summary.duration_seconds)}"


def _epochs(summary: RunSummary) -> str:
    best = "" if summary.best_epoch is None else f", best {summary.best_epoch} by {summary.best_metric}"
    wanted = summary.args.get("epochs")
    return f"{summary.epoch}{f' of {wanted}' if wanted is not None else ''} ({summary.step:,} steps){best}"


def _resumes(record: dict[str, Any]) -> str:
    times = [str(each.get("at")) for each in record.get("resumes") or [] if isinstance(each, dict)]
    return f"{len(times)} time{'s' * (len(times) > 1)}, last {times[-1]}" if times else ""


def _code(git: Any) -> str:
    forms = {"commit": "commit {:.12}", "branch": "on {}", "snapshot": "(kept as {:.12})"}
    words = [form.format(text) for name, form in forms.items() for text in _texts(git, name)]
    is_changed = isinstance(git, dict) and git.get("dirty") is True
    return " ".join(words) + ", with changes" * is_changed


def _texts(section: Any, *names: str, longest: int = 80) -> list[str]:
    values = [section.get(name) for name in names] if isinstance(section, dict) else []
    return [value[:longest] for value in values if isinstance(value, str)]


def _next_commands(summary: RunSummary, prog: str) -> Facts:
    python = "python " * prog.endswith(".py")
    script = summary.path / "command.sh"
    can_go_on = summary.status not in ("finished", "running", DAMAGED)
    change = " --gradient_clipping=1, or another change" * (summary.problem or "").startswith("NonFiniteLoss")
    return {
        "to go on": f"{python}{prog} resume {summary.id}{change}" if can_go_on else "",
        "to repeat": f"sh {shlex.quote(str(script))}" if script.is_file() else "",
    }


def _print_facts(facts: Facts) -> None:
    width = max(map(len, facts))
    for name, text in facts.items():
        if text:
            print(f"  {name:<{width}}  {one_line(text, 1000)}")


def _print_metrics(summary: RunSummary, found: RunDirectory) -> None:
    if summary.status == DAMAGED:
        return
    history = History.load(found.history_path)
    names = list(dict.fromkeys(f"{row['split']}/{name}" for row in history.rows for name in row["metrics"]))
    rows = [_metric_row(summary, history, name) for name in names]
    others = [name for name in summary.metrics if name not in names]
    rows += [[name, *[""] * 4, number_text(summary.metrics[name])] for name in others]
    if rows:
        print("\nmetrics")
        print_table(["metric", "curve", "first", "last", "best (epoch)", "kept"], rows)


def _metric_row(summary: RunSummary, history: History, name: str) -> list[str]:
    _, values = history.series(*split_metric_name(name))
    is_deciding = name == summary.best_metric and summary.lower_is_better is not None
    best = history.best(name, minimize=bool(summary.lower_is_better) if is_deciding else lower_is_better(name))
    kept = summary.metrics.get(name)
    return [
        name,
        sparkline(values),
        number_text(values[0]),
        number_text(values[-1]),
        "" if best is None else f"{number_text(best.value)} ({best.epoch})",
        "" if kept is None else number_text(kept),
    ]


def _print_args(summary: RunSummary, record: dict[str, Any]) -> None:
    sources = section(record, "sources")
    rows = [[path, spelled(value), str(sources.get(path, "default"))] for path, value in summary.args.items()]
    if rows:
        print("\narguments")
        print_table(["argument", "value", "from"], rows)


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and size of everything in a run directory; of a folder, all that is below it."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        is_folder = entry.is_dir(follow_symlinks=False)
        yield entry.name + "/" * is_folder, size_of(Path(entry.path))


def size_of(path: Path) -> int:
    """Bytes in a file, or in all files below a folder; links are not followed."""
    try:
        is_folder = path.is_dir() and not path.is_symlink()
        return sum(map(size_of, path.iterdir())) if is_folder else path.lstat().st_size
    except OSError:  # a running run has replaced it
        return 0
