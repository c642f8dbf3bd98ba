"""What there is to say about one run in a list, read from its directory."""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from ..directory import RunDirectory
from ..history import History, split_metric_name
from ..record import section
from .notes import Notes, read_notes

T = TypeVar("T")
_LOWER = re.compile(
    r"(.*[_-])?(loss|error|err|mse|rmse|nmse|mae|mape|ece|nll|bce|perplexity|distance|divergence|discrepancy|fid|wer|cer)"
    r"([_-].*)?"
)
DAMAGED = "damaged"


@dataclass(frozen=True)
class RunSummary:
    """A run as a list shows it: facts of run.json and notes.json, flat arguments, and its metrics."""

    path: Path
    status: str
    """running, finished, failed, interrupted; killed: it says running and no process holds it; or damaged."""
    problem: str | None = None
    """Why it failed, or what of it cannot be read."""
    experiment_id: str = ""
    run_name: str | None = None
    started_at: str | None = None
    started: float = 0.0
    """The same in seconds since 1970, with a fraction that orders runs of the same second."""
    ended_at: str | None = None
    duration_seconds: float | None = None
    epoch: int = 0
    """Epochs in its history."""
    step: int = 0
    dataset: str | None = None
    best_metric: str | None = None
    """Full name of the metric that decides."""
    best_epoch: int | None = None
    identity: str | None = None
    commit: str | None = None
    """Of the snapshot of its code, else of the repository."""
    tree: str | None = None
    parent: str | None = None
    note: str | None = None
    debug: bool = False
    lower_is_better: bool | None = None
    """Of `best_metric`; None: it cannot be told."""
    archived: bool = False
    tags: list[str] = field(default_factory=list[str])
    args: dict[str, Any] = field(default_factory=dict[str, Any])
    """Under dotted names: `model.hidden_sizes`."""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    """Under full names, of the weights that the run keeps (its best epoch's, or its last's), and of the test."""
    last: dict[str, float] = field(default_factory=dict[str, float])
    """Of the last epoch."""

    @property
    def id(self) -> str:
        return self.path.name


def summarize(path: Path) -> RunSummary:
    """What the directory says; of one that is damaged, what can be read, and what cannot."""
    problems: list[str] = []

    def tried(read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        # Files of another hand may hold anything at all; whatever that breaks, the run is listed.
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            problems.append(str(error) or type(error).__name__)
            return otherwise

    run = RunDirectory(path)
    record = tried(run.record, cast(dict[str, Any], {}))
    args = tried(lambda: flat(run.args()), {}) if record else {}
    history = tried(lambda: History.load(run.history_path), History(run.history_path))
    notes = tried(lambda: read_notes(run), Notes())
    found: dict[str, Any] = {"status": DAMAGED}
    found |= tried(lambda: _facts(run, record), {})
    found |= tried(lambda: _measured(section(record, "result"), args, history), {})
    said: dict[str, Any] = {
        "tags": notes.all_tags(_texts(section(record, "options").get("tags"))),
        "note": notes.note,
        "archived": notes.archived,
    }
    if problems:
        found |= {"status": DAMAGED, "problem": "; ".join(problems)}
        found["started"] = found.get("started") or _started_by_name(path.name)
    return RunSummary(path, args=args, **found, **said)


def _started_by_name(name: str) -> float:
    """When the run of this id began, in seconds since 1970; 0 for another name."""
    try:
        return time.mktime(time.strptime(name[:19], "%Y-%m-%d_%H-%M-%S"))
    except (ValueError, OverflowError):
        return 0.0


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested arguments under dotted names: `{"model": {"kind": "mlp"}}` is `{"model.kind": "mlp"}`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(cast(Mapping[str, Any], value), f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def lower_is_better(metric: str) -> bool:
    """What a metric's name suggests: losses, errors and distances should be low, everything else high."""
    return _LOWER.fullmatch(metric.rpartition("/")[2].lower()) is not None


def _facts(run: RunDirectory, record: dict[str, Any]) -> dict[str, Any]:
    options, dataset, git, parent = (section(record, name) for name in ("options", "dataset", "git", "parent"))
    started_at = _typed(record.get("started_at"), str)
    return {
        "status": _typed(record.get("status"), str) or DAMAGED,
        "problem": _typed(record.get("error"), str),
        "experiment_id": _typed(record.get("experiment_id"), str) or "",
        "run_name": _typed(options.get("run_name"), str),
        "started_at": started_at,
        "started": _started(run, started_at),
        "ended_at": _typed(record.get("ended_at"), str),
        "duration_seconds": _number(record.get("duration_seconds")),
        "dataset": _typed(dataset.get("name"), str),
        "debug": record.get("debug") is True,
        "identity": _typed(record.get("identity"), str),
        "commit": _typed(git.get("snapshot"), str) or _typed(git.get("commit"), str),
        "tree": _typed(git.get("tree"), str),
        "parent": _typed(parent.get("run"), str),
    }


def _started(run: RunDirectory, started_at: str | None) -> float:
    if started_at is None:
        return 0.0
    seconds = datetime.fromisoformat(started_at).timestamp()
    written = run.args_path.stat().st_mtime  # the text may say whole seconds only
    return written if 0 <= written - seconds < 1 else seconds


def _measured(result: Mapping[str, Any], args: Mapping[str, Any], history: History) -> dict[str, Any]:
    rows = history.rows
    if not rows and not result:
        return {}
    minimize = _typed(args.get("minimize_best_model_metric"), bool)
    deciding = _typed(result.get("best_metric"), str)
    if result:
        best_epoch, kept_epoch = result.get("best_epoch"), result.get("weights_epoch")
    else:
        deciding = "/".join(split_metric_name(str(args.get("best_model_metric", "loss"))))
        low = lower_is_better(deciding) if minimize is None else minimize
        best = history.best(deciding, minimize=low)
        best_epoch = kept_epoch = None if best is None else best.epoch
    last = max(rows, key=lambda row: row["epoch"], default={"epoch": 0, "step": 0})  # the tests' come after it
    last_epoch = last["epoch"]
    test = {name if "/" in name else f"test/{name}": value for name, value in section(result, "test").items()}
    tested = {name: float(value) for name, value in test.items() if _number(value) is not None}
    kept = _metrics_at(history, last_epoch if kept_epoch is None else kept_epoch) | tested
    best_value = _number(result.get("best_value"))
    if deciding is not None and best_value is not None and best_epoch == kept_epoch:
        kept.setdefault(deciding, best_value)  # a mean over several sets has no row in the history
    if minimize is None and deciding is not None:
        minimize = _direction(history, deciding, result.get("best_value"))
    return {
        "epoch": last_epoch,
        "step": last["step"],
        "best_metric": deciding,
        "best_epoch": _typed(best_epoch, int),
        "lower_is_better": minimize,
        "metrics": kept,
        "last": _metrics_at(history, last_epoch),
    }


def _direction(history: History, metric: str, best: object) -> bool | None:
    """Whether lower is better, as a run's best value tells: it is the lowest of its epochs, or the highest."""
    values = [value for value in history.series(*split_metric_name(metric))[1] if math.isfinite(value)]
    if best not in values or min(values) == max(values):
        return None
    return {min(values): True, max(values): False}.get(cast(float, best))


def _metrics_at(history: History, epoch: int) -> dict[str, float]:
    return {
        f"{row['split']}/{name}": value
        for row in history.rows
        if row["epoch"] == epoch
        for name, value in row["metrics"].items()
        if _number(value) is not None
    }


def _texts(value: object) -> list[str]:
    return [item for item in cast(list[object], value) if isinstance(item, str)] if isinstance(value, list) else []


def _typed(value: object, kind: type[T]) -> T | None:
    return value if type(value) is kind else None


def _number(value: object) -> float | None:
    """`value` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
