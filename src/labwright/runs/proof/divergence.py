"""How far two runs agree: in steps, histories and final weights; and what may be the cause where they do not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError
from labwright.args.wording import listed, one_line, spelled

from ..directory import RunDirectory
from ..durable import file_sha256
from ..listing.summary import flat
from ..record import section
from ..sizes import count_text
from .fingerprints import FILE_NAME, Difference, Fingerprints, first_difference, loss_gap

_MOST_CAUSES = 8
"""Of a kind; so many are shown."""


@dataclass(frozen=True)
class HistoryDifference:
    """The first row in which two histories differ."""

    epoch: int
    split: str
    values: dict[str, tuple[Any, Any]]
    """What differs there, in both; empty: one of the histories ended before it."""


@dataclass(frozen=True)
class Divergence:
    """What a comparison of two runs came to."""

    num_steps: tuple[int, int]
    """How many steps are recorded of each run."""
    difference: Difference | None
    """None: no step differs, as far as both have fingerprints."""
    loss_gap: float
    """The largest relative difference of their losses at a step."""
    history: HistoryDifference | None
    weights_are_equal: bool | None
    """None: not both have final weights."""
    causes: dict[str, list[str]]
    """What was recorded as different before the first step: `args`, `data`, `code`, `versions`, `machine`."""
    batches_per_step: int = 1

    @property
    def is_identical(self) -> bool:
        return self.difference is None and self.history is None and self.weights_are_equal is not False

    def headline(self) -> str:
        """The verdict in a line."""
        num_common = min(self.num_steps)
        if self.is_identical:
            weights = {True: ", final weights equal", None: "", False: ""}[self.weights_are_equal]
            return f"identical ({count_text(num_common, 'step') if num_common else 'histories'}{weights})"
        difference = self.difference
        if difference is None:
            equal = f"equal for all {count_text(num_common, 'step')}" if num_common else "no steps to compare"
            what = "the histories" if self.weights_are_equal is not False else "the final weights"
            return f"{equal}, but {what} differ"
        if not difference.components:
            shorter, longer = sorted(self.num_steps)
            return f"equal for {count_text(shorter, 'step')}, where one ends; the other has {longer:,}"
        return f"first differ at step {difference.step:,} ({self._place(difference)}): {difference.components[0]}"

    def lines(self) -> list[str]:
        """The verdict, the evidence and the likely causes."""
        lines = [self.headline()]
        if self.is_identical:
            return lines
        if self.difference is not None and len(self.difference.components) > 1:
            lines.append(f"  there too: {', '.join(self.difference.components[1:])}")
        if self.loss_gap:
            lines.append(f"  losses: up to {self.loss_gap:.2g} apart (relative)")
        if self.history is not None:
            lines.append(f"  history: {_described(self.history)}")
        if self.weights_are_equal is not None:
            lines.append(f"  final weights: {'equal' if self.weights_are_equal else 'differ'}")
        if not self.causes:
            return [*lines, "recorded as different before the first step: nothing"]
        lines.append("recorded as different before the first step:")
        return lines + [f"  {kind}: {listed(found, _MOST_CAUSES)}" for kind, found in self.causes.items()]

    def to_json(self) -> dict[str, Any]:
        difference = self.difference
        return {
            "identical": self.is_identical,
            "verdict": self.headline(),
            "num_steps": self.num_steps,
            "difference": None if difference is None else asdict(difference) | {"batch": self._batches(difference)[0]},
            "loss_gap": self.loss_gap,
            "history": None if self.history is None else asdict(self.history),
            "weights_are_equal": self.weights_are_equal,
            "causes": self.causes,
        }

    def _place(self, difference: Difference) -> str:
        first, last = self._batches(difference)
        batches = f"batch {first:,}" if first == last else f"batches {first:,}-{last:,}"
        return f"epoch {difference.epoch}, {batches}"

    def _batches(self, difference: Difference) -> tuple[int, int]:
        last = difference.step_of_epoch * self.batches_per_step
        return last - self.batches_per_step + 1, last


def compare_runs(a: RunDirectory, b: RunDirectory) -> Divergence:
    """How far two runs agree.

    Raises:
        UserError: they left nothing that could be compared, or something that cannot be read.
    """
    steps = Fingerprints.load(a.path / FILE_NAME), Fingerprints.load(b.path / FILE_NAME)
    histories = a.history(), b.history()
    weights_are_equal = _same_content(a.model_path, b.model_path)
    for run, fingerprints, rows in zip((a, b), steps, histories, strict=True):
        if not fingerprints.rows and not rows and weights_are_equal is None:
            raise UserError(f"{run.path}: there is nothing to compare yet: neither a step, an epoch nor final weights")
    has_steps = all(map(len, steps))
    return Divergence(
        num_steps=(len(steps[0]), len(steps[1])),
        difference=first_difference(*steps) if has_steps else None,
        loss_gap=loss_gap(*steps),
        history=_first_other_row(*histories),
        weights_are_equal=weights_are_equal,
        causes=causes(a, b),
        batches_per_step=a.args().get("accumulate_batches") or 1,
    )


def causes(a: RunDirectory, b: RunDirectory) -> dict[str, list[str]]:
    """What the records of two runs say differed before their first step, by kind, likeliest first."""
    one, other = a.record(), b.record()
    found = {
        "args": _differing(a.args(), b.args()),
        "data": _differing(section(one, "dataset"), section(other, "dataset")),
        "code": _differing(_code(one), _code(other)),
        "versions": _differing(_versions(one), _versions(other)),
        "machine": _differing({"device": one.get("device")}, {"device": other.get("device")}),
    }
    return {kind: lines for kind, lines in found.items() if lines}


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    git = section(record, "git")
    keys = ("tree",) if git.get("tree") else ("commit", "dirty")
    return {key: str(git[key])[:12] for key in keys if key in git}


def _versions(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"python": section(record, "host").get("python")} | section(record, "versions")


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """`optimizer.learning_rate 0.1 | 0.2` for each value that is not the same in both."""
    one, other = flat(a), flat(b)
    return [
        f"{name} {_shown(one, name)} | {_shown(other, name)}"
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]


def _shown(values: Mapping[str, Any], name: str) -> str:
    return one_line(spelled(values[name]), 40) if name in values else "-"


def _first_other_row(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> HistoryDifference | None:
    for mine, theirs in zip_longest(a, b):
        if mine == theirs:
            continue
        row: dict[str, Any] = mine or theirs
        values: dict[str, tuple[Any, Any]] = {}
        if mine and theirs:
            one, other = flat(mine), flat(theirs)
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            values = {name.removeprefix("metrics."): (one.get(name), other.get(name)) for name in names}
        return HistoryDifference(row["epoch"], row["split"], values)
    return None


def _described(history: HistoryDifference) -> str:
    where = f"epoch {history.epoch}, {history.split}"
    if not history.values:
        return f"one ends before {where}"
    shown = [f"{name} {spelled(one)} | {spelled(other)}" for name, (one, other) in history.values.items()]
    return f"first differs in {where} ({listed(shown, 3)})"


def _same_content(a: Path, b: Path) -> bool | None:
    if not (a.is_file() and b.is_file()):
        return None
    return file_sha256(a) == file_sha256(b)
