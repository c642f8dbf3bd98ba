"""Runs side by side: the arguments in which they differ, what they came to, and groups that differ only in seed."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev
from typing import Any, NamedTuple, Self

from labwright.args.errors import UserError
from labwright.args.wording import listed, nearest, one_line, quoted, spelled

from .directory import RunDirectory
from .flat_args import differing_args, short_names
from .history import History, split_metric_name
from .listing.summary import DAMAGED, RunSummary, lower_is_better, summarize
from .plots.comparison import MOST_COLORS
from .plots.panels import role

_LABEL_WIDTH, _VALUE_WIDTH = 60, 24  # characters of a label, and of a value in it


class Column(NamedTuple):
    """A number of each run: a metric under its full name, at its best, at the end, or of the tested weights."""

    metric: str
    moment: str
    """`best`, `last`; empty: of the tested weights."""

    @property
    def title(self) -> str:
        return f"{self.moment} {self.metric}".strip()


class Spread(NamedTuple):
    """The mean of a metric over runs, and the standard deviation between them (n - 1; NaN for a single run)."""

    mean: float
    deviation: float
    num_values: int


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs that are compared."""

    summary: RunSummary
    history: History
    result: dict[str, Any]
    """What run.json says the run came to; empty before it has finished."""

    @classmethod
    def read(cls, run: RunDirectory) -> Self:
        """The run at this directory; UserError if it is damaged."""
        summary = summarize(run.path)
        if summary.status == DAMAGED:
            raise UserError(f"{run.path.name} is damaged: {summary.problem}")
        return cls(summary, History.load(run.history_path), run.record().get("result") or {})

    @property
    def short_id(self) -> str:
        """The end of its id: enough to name it, and to find it."""
        return self.summary.id.rpartition("_")[2]

    @property
    def best_value(self) -> float | None:
        """Of the metric that decided; that may be a mean over sets, which the history does not have."""
        return self.result.get("best_value")

    @cached_property
    def measured(self) -> list[str]:
        """Full names of its metrics, in order of appearance, test metrics last."""
        names = [f"{row['split']}/{metric}" for row in self.history.rows for metric in row["metrics"]]
        decides = [self.summary.best_metric] if self.summary.best_metric and self.best_value is not None else []
        test: dict[str, Any] = self.result.get("test") or {}
        tested = [name if "/" in name else f"test/{name}" for name in test]
        names = list(dict.fromkeys([*names, *decides, *tested]))
        return sorted(names, key=lambda name: role(name) == "test")

    def is_lower_better(self, metric: str) -> bool:
        """As the run decided, else as the metric's name suggests."""
        decided = self.summary.lower_is_better if metric == self.summary.best_metric else None
        return lower_is_better(metric) if decided is None else decided

    def value(self, column: Column) -> float | None:
        """NaN where it was measured and is not finite; None where it was not measured."""
        if column.moment == "best":
            best = self.history.best(column.metric, minimize=self.is_lower_better(column.metric))
            said = self.best_value if column.metric == self.summary.best_metric else None
            return said if best is None and said is not None else self._or_nan(column.metric, best and best.value)
        if column.moment == "last":
            values = self.history.series(*split_metric_name(column.metric))[1]
            return values[-1] if values else None
        return self._or_nan(column.metric, self.summary.metrics.get(column.metric))

    def _or_nan(self, metric: str, finite: float | None) -> float | None:
        return math.nan if finite is None and metric in self.measured else finite


@dataclass(frozen=True)
class Group:
    """Runs whose arguments are equal but for the seed."""

    runs: list[ComparedRun]

    @property
    def finished(self) -> list[ComparedRun]:
        return [run for run in self.runs if run.summary.status == "finished"]

    @property
    def drawn(self) -> list[ComparedRun]:
        """A mean over runs that were cut short would be cut short: those that have finished, or all if none has."""
        return self.finished or self.runs

    @property
    def count(self) -> str:
        """How many runs it has, in words."""
        drawn, every = len(self.drawn), len(self.runs)
        return f"{drawn} of {every} runs" if drawn != every else f"{every} run{'s' * (every != 1)}"

    def spread(self, column: Column) -> Spread | None:
        """Over the runs that have finished, where the value is finite; None where there is no such run."""
        values = [value for run in self.finished if (value := run.value(column)) is not None and math.isfinite(value)]
        if not values:
            return None
        return Spread(mean(values), stdev(values) if len(values) > 1 else math.nan, len(values))


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    runs: list[ComparedRun]
    columns: list[Column]
    asked_for: list[str]
    """The metrics somebody named; none: the usual ones."""

    @cached_property
    def differing(self) -> list[str]:
        """The arguments in which the runs differ, by their paths."""
        return differing_args([run.summary.args for run in self.runs])

    @property
    def differing_between_groups(self) -> list[str]:
        return [name for name in self.differing if name != "seed"]

    @cached_property
    def groups(self) -> list[Group]:
        """Every run in exactly one, in order of appearance."""
        groups: dict[str, list[ComparedRun]] = {}
        for run in self.runs:
            args = {name: value for name, value in run.summary.args.items() if name != "seed"}
            groups.setdefault(json.dumps(args, sort_keys=True, default=str), []).append(run)
        return [Group(runs) for runs in groups.values()]

    @property
    def has_groups(self) -> bool:
        """Whether some runs differ only in seed, or in nothing."""
        return len(self.groups) < len(self.runs)

    def labels(self) -> list[str]:
        """A name for each run, no two the same: the arguments that make it different."""
        return _unique([self._label(run, self.differing) for run in self.runs], self.runs)

    def group_labels(self) -> list[str]:
        """A name for each group: what its runs have in common and others have not, and how many they are."""
        counts = [group.count for group in self.groups]
        texts = [self._label(group.runs[0], self.differing_between_groups) for group in self.groups]
        labels = [f"{text} ({count})" if text else count for text, count in zip(texts, counts, strict=True)]
        return _unique(labels, [group.runs[0] for group in self.groups])

    def curves(self, *, by_group: bool = False) -> dict[str, list[list[dict[str, Any]]]]:
        """What to draw: the history rows of each run by its label, or those of all runs of each group by its.

        In the order given; where there are too many for a colour each, the best come first.
        """
        if by_group:
            labelled = dict(zip(self.group_labels(), (group.drawn for group in self.groups), strict=True))
        else:
            labelled = dict(zip(self.labels(), ([run] for run in self.runs), strict=True))
        if len(labelled) > MOST_COLORS:
            labelled = dict(sorted(labelled.items(), key=lambda entry: self._rank(entry[1])))
        return {label: [run.history.rows for run in runs] for label, runs in labelled.items()}

    def _rank(self, runs: Sequence[ComparedRun]) -> float:
        """By the mean of the first metric: the lower, the better; what was not measured comes last."""
        if not self.columns:
            return math.inf
        column = self.columns[0]
        values = [value for run in runs if (value := run.value(column)) is not None and math.isfinite(value)]
        sign = 1 if self.is_lower_better(column.metric) else -1
        return sign * mean(values) if values else math.inf

    def panels(self, most: int = 4) -> list[str]:
        """Which metrics to draw: those asked for, else the losses, what decides, and more of validation."""
        if self.asked_for:
            return self.asked_for
        measured = list(
            dict.fromkeys(
                f"{row['split']}/{name}" for run in self.runs for row in run.history.rows for name in row["metrics"]
            )
        )
        deciding = {run.summary.best_metric for run in self.runs}
        order: list[Callable[[str], bool]] = [
            lambda name: role(name) == "train" and name.endswith("/loss"),
            lambda name: role(name) == "val" and name.endswith("/loss"),
            lambda name: name in deciding,
            lambda name: role(name) == "val",
            lambda name: role(name) == "train",
        ]
        return list(dict.fromkeys(name for wanted in order for name in measured if wanted(name)))[:most]

    def is_lower_better(self, metric: str) -> bool:
        """As the first run has it that decided by this metric, else as its name suggests."""
        judges = (run for run in self.runs if run.summary.best_metric == metric)
        return next(judges, self.runs[0]).is_lower_better(metric)

    @cached_property
    def short_names(self) -> dict[str, str]:
        """What to call each argument."""
        return short_names(list(dict.fromkeys(name for run in self.runs for name in run.summary.args)))

    def _label(self, run: ComparedRun, names: Iterable[str]) -> str:
        """These arguments of a run on one line, as they would be typed."""
        args = run.summary.args
        parts = [f"{self.short_names[name]}={_short(args[name])}" for name in names if name in args]
        return one_line(", ".join(parts), _LABEL_WIDTH)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(spelled(value), _VALUE_WIDTH)


def _unique(texts: Sequence[str], runs: Sequence[ComparedRun]) -> list[str]:
    """The texts, with the run's id where a text does not tell it from the others."""
    for run_id in ([f"({run.short_id})" for run in runs], [f"({run.summary.path})" for run in runs]):
        counts = Counter(texts)
        texts = [
            text if text and counts[text] == 1 else f"{text} {each}".strip()
            for text, each in zip(texts, run_id, strict=True)
        ]
    return list(texts)


def compare(runs: Sequence[RunDirectory], metrics: Sequence[str] = ()) -> Comparison:
    """These runs side by side by `metrics` (bare names mean `val/`); by default what decides, and the test metrics.

    Raises:
        UserError: a run is damaged, or no run has a metric.
    """
    read = [ComparedRun.read(run) for run in runs]
    measured = list(dict.fromkeys(name for run in read for name in run.measured))
    wanted = [_known_metric(name, measured) for name in metrics]
    columns = _columns(wanted, measured) if wanted else _usual_columns(read, measured)
    return Comparison(read, columns, list(dict.fromkeys(wanted)))


def _known_metric(name: str, measured: Sequence[str]) -> str:
    full = "/".join(split_metric_name(name))
    if full in measured:
        return full
    near = nearest(full, measured)
    hint = f"did you mean {near}?" if near else f"measured: {listed(measured) or 'nothing'}"
    raise UserError(f"--metric: none of these runs has {quoted(full)}; {hint}")


def _columns(metrics: Iterable[str], measured: Sequence[str]) -> list[Column]:
    """What there is to say of each metric: at its best, at the end, and on test."""
    columns: list[Column] = []
    for metric in metrics:
        if role(metric) == "test":
            columns.append(Column(metric, ""))
            continue
        columns += [Column(metric, "best"), Column(metric, "last")]
        bare = metric.partition("/")[2]
        columns += [Column(name, "") for name in measured if role(name) == "test" and name.partition("/")[2] == bare]
    return list(dict.fromkeys(columns))


def _usual_columns(runs: Sequence[ComparedRun], measured: Sequence[str]) -> list[Column]:
    deciding = {run.summary.best_metric for run in runs}
    shown = [name for name in measured if name in deciding] or [
        name for name in measured if name.endswith("/loss") and role(name) != "test"
    ][:1]
    shown = shown or [name for name in measured if role(name) != "test"][:1]
    tested = [Column(name, "") for name in measured if role(name) == "test"]
    return list(dict.fromkeys([*_columns(shown, []), *tested]))
