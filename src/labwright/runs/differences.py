"""What is not the same in two runs: code, arguments, environment, data and results."""

import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from labwright.args.errors import UserError
from labwright.args.wording import MASK, one_line, spelled

from .code.git import GitError
from .code.restore import repository_of
from .code.snapshot import Snapshot, diff_trees, drop_snapshot, take_snapshot
from .directory import RunDirectory
from .flat_args import differing_args
from .listing.summary import flat, summarize
from .provenance import host, versions
from .record import section

_MOST_LINES = 20
"""Of one section: what differs should be seen at a glance."""
_WIDTH = 48  # characters of a value
_NO_MATTER = frozenset(
    {"run_name", "tags", "quiet", "as_json", "config", "print_config", "resume", "force", "skip_existing"}
)
"""Options that say how a run is called, shown and started."""
_CHANCE = frozenset({"pid", "python"})
"""Facts of the host that differ each time, or stand among the versions."""


@dataclass(frozen=True)
class Difference:
    """A value that is not the same; `absent` names the sides that have none."""

    name: str
    a: Any
    b: Any
    absent: tuple[Literal["a", "b"], ...] = ()
    source_a: str | None = None
    source_b: str | None = None
    """Where the value of an argument was said."""

    def text(self, side: Literal["a", "b"], spell: Callable[[Any], str]) -> str:
        """The value of one side, with its source."""
        value, source = (self.a, self.source_a) if side == "a" else (self.b, self.source_b)
        said = f" ({source.partition('=')[0]})" if source else ""  # a flag's value is the one before it
        return "-" if side in self.absent else spell(value) + said


@dataclass(frozen=True)
class CodeDifference:
    """Whether the code is the same (None: it cannot be told), why that is said, and what changed."""

    is_same: bool | None
    reason: str
    text: str = ""


@dataclass(frozen=True)
class Differences:
    """All that differs between a run and another, or what is here now."""

    a: str
    b: str
    code: CodeDifference
    sections: dict[str, list[Difference]] = field(default_factory=dict[str, list[Difference]])
    """Those that were compared, the empty ones too."""

    @property
    def is_same(self) -> bool:
        """Whether nothing is known to differ."""
        return self.code.is_same is not False and not any(self.sections.values())

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON-like data."""
        sections = {name: [asdict(each) for each in found] for name, found in self.sections.items()}
        return {"a": self.a, "b": self.b, "same": self.is_same, "code": asdict(self.code), **sections}

    def lines(self) -> Iterator[str]:
        """The differences on one screen, and what is the same on its last line."""
        yield f"{self.a} | {self.b}"
        if self.code.is_same is not True:
            yield from ("", f"code: {self.code.reason}")
            yield from (f"  {line}" for line in self.code.text.splitlines())
        for name, found in self.sections.items():
            if found:
                yield from ("", name, *_table(found, are_metrics=name == "results"))
        same = [self.code.reason] if self.code.is_same else []
        same += [f"same {name}" for name, found in self.sections.items() if not found]
        if same:
            yield from ("", f"{'no difference: ' if self.is_same and self.code.is_same else ''}{', '.join(same)}")


def diff_runs(a: RunDirectory, b: RunDirectory, *, patch: bool = False, here: Path | None = None) -> Differences:
    """What differs between two runs; the code as a line per file, or as the whole `patch`.

    `here` is a folder of the repository, should that have moved since the runs.
    """
    records, args = (a.record(), b.record()), (flat(a.args()), flat(b.args()))
    snapshots = (Snapshot.of(records[0]), Snapshot.of(records[1]))
    code = _diff_snapshots(snapshots[0], snapshots[1], patch, here) or _diff_commits(
        *(section(record, "git") for record in records)
    )
    return Differences(
        a.path.name,
        b.path.name,
        code,
        {
            "arguments": _diff_args(args, records),
            "environment": list(_diff_environments(*records)),
            "data": list(_diff(*(section(record, "dataset") for record in records), known_only=True)),
            "results": list(_diff(_results(a), _results(b))),
        },
    )


def diff_from_now(
    run: RunDirectory, code_dir: Path, *, patch: bool = False, leave_out: Collection[Path] = ()
) -> Differences:
    """What differs between a run and the code and environment here; `leave_out` are folders that hold no code."""
    record = run.record()
    code = _diff_from_now(Snapshot.of(record), code_dir, patch, leave_out)
    now = {"versions": versions(), "host": host()}
    return Differences(run.path.name, "now", code, {"environment": list(_diff_environments(record, now))})


def _diff_snapshots(a: Snapshot | None, b: Snapshot | None, patch: bool, here: Path | None) -> CodeDifference | None:
    """None where one of them is not there."""
    if a is None or b is None:
        return None
    if a.tree == b.tree:
        return CodeDifference(True, "same code" + _apart_from(a, b))
    folders = [Path(b.repository), *([here] if here else [])]
    try:
        text = diff_trees(repository_of(a, *folders), a.tree, b.tree, patch=patch)
    except (UserError, GitError) as error:
        return CodeDifference(False, f"differs; the changes cannot be shown: {error}")
    return CodeDifference(False, "differs" + _apart_from(a, b), text)


def _apart_from(*snapshots: Snapshot) -> str:
    """What a snapshot does not hold may differ all the same."""
    paths = sorted({each["path"] for snapshot in snapshots for each in snapshot.skipped})
    if not paths:
        return ""
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return f" (apart from what is not kept: {', '.join(paths[:3])}{more})"


def _diff_commits(a: Mapping[str, Any], b: Mapping[str, Any]) -> CodeDifference:
    """What the commits say where a run has no snapshot."""
    why = "without a snapshot of both"
    commit_a, commit_b = a.get("commit"), b.get("commit")
    if commit_a is None or commit_b is None:
        return CodeDifference(None, f"{why} it cannot be compared")
    if commit_a != commit_b:
        return CodeDifference(False, f"commit {commit_a[:12]} -> {commit_b[:12]}; {why} no more is known")
    if a.get("dirty") is False and b.get("dirty") is False:
        return CodeDifference(True, f"same commit {commit_a[:12]}")
    return CodeDifference(None, f"commit {commit_a[:12]} in both, but not all was committed; {why} no more is known")


def _diff_from_now(then: Snapshot | None, code_dir: Path, patch: bool, leave_out: Collection[Path]) -> CodeDifference:
    if then is None:
        return CodeDifference(None, "without a snapshot of the run it cannot be compared")
    problems: list[str] = []
    name = f"diff-{secrets.token_hex(8)}"
    try:
        now = take_snapshot(code_dir, name, leave_out=leave_out, warn=problems.append)
        code = _diff_snapshots(then, now, patch, code_dir)
    finally:
        drop_snapshot(code_dir, name)
    return code or CodeDifference(None, *problems[:1] or ["there is no repository here to compare with"])


def _diff_args(args: Sequence[dict[str, Any]], records: Sequence[Mapping[str, Any]]) -> list[Difference]:
    sources = [cast("dict[str, str] | None", record.get("sources")) for record in records]

    def source(side: int, name: str) -> str | None:
        said = sources[side]
        return None if said is None or name not in args[side] else said.get(name, "default")

    said = {name for each in sources for name in each or {}}
    differing = {*differing_args(args)}
    one_sided = args[0].keys() ^ args[1].keys()
    names = [name for name in {**args[0], **args[1]} if name in differing or (name in one_sided and name in said)]
    return [
        Difference(
            name,
            args[0].get(name),
            args[1].get(name),
            _absent(name, *args),
            source_a=source(0, name),
            source_b=source(1, name),
        )
        for name in names
    ]


def _diff_environments(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    """Python and packages, the computer, the machine's configuration, the options, the device."""
    yield from _diff(section(a, "versions"), section(b, "versions"))
    for name, ignored in (("host", _CHANCE), ("machine", ()), ("options", _NO_MATTER)):
        entries = (
            {key: value for key, value in section(record, name).items() if key not in ignored} for record in (a, b)
        )
        yield from _diff(*entries, known_only=True)
    yield from _diff({"device": a.get("device")}, {"device": b.get("device")}, known_only=True)


def _results(run: RunDirectory) -> dict[str, Any]:
    summary = summarize(run.path)
    return {"status": summary.status, "epochs": summary.epoch, **summary.metrics}


def _diff(a: Mapping[str, Any], b: Mapping[str, Any], *, known_only: bool = False) -> Iterator[Difference]:
    """The entries that are not equal, as far as that is known; with `known_only` a missing one or None is unknown."""
    for name in {**a, **b}:
        absent = _absent(name, a, b)
        values = (a.get(name), b.get(name))
        is_unknown = MASK in values or (known_only and None in values)
        if not is_unknown and (absent or not _equal(*values)):
            yield Difference(name, *values, absent)


def _absent(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Literal["a", "b"], ...]:
    sides: tuple[tuple[Literal["a", "b"], Mapping[str, Any]], ...] = (("a", a), ("b", b))
    return tuple(side for side, values in sides if name not in values)


def _equal(a: Any, b: Any) -> bool:
    return json.dumps(a, sort_keys=True, default=str) == json.dumps(b, sort_keys=True, default=str)


def _table(found: Sequence[Difference], *, are_metrics: bool) -> Iterator[str]:
    """A line for each difference, in columns."""
    shown = found[:_MOST_LINES]
    spell = _metric if are_metrics else _value
    rows = [
        (each.name, each.text("a", spell), each.text("b", spell), _change(each) if are_metrics else "")
        for each in shown
    ]
    names, old = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, a, b, change in rows:
        yield f"  {name:<{names}}  {a:<{old}}  ->  {b}{change}"
    if len(found) > len(shown):
        yield f"  ... and {len(found) - len(shown):,} more (--json has all)"


def _value(value: Any) -> str:
    return one_line(spelled(value), _WIDTH)


def _metric(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _value(value)


def _change(difference: Difference) -> str:
    """How much a metric moved."""
    a, b = difference.a, difference.b
    return f"  ({b - a:+.4g})" if isinstance(a, float) and isinstance(b, float) else ""
