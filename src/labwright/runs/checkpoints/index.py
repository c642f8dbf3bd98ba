"""index.json: what it says of each checkpoint, and which place each has among the newest and the best."""

import json
import math
import re
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, NotRequired, TypedDict, cast

Role = Literal["last", "best"]
FILE_NAME = re.compile(r"step_([0-9]{8,})(?:_([1-9][0-9]*))?\.safetensors", re.ASCII)
_NAME = re.compile(r"(last|best)(_[1-9][0-9]*)?")
"""`last` and `best` in the index; the next newest and next best are `last_2`, `best_2`, and so on."""
_KINDS: dict[str, tuple[type, ...]] = {
    "size": (int,),
    "sha256": (str,),
    "epoch": (int, NoneType),
    "step": (int,),
    "metrics": (dict,),
    "score": (int, float),
}


class CheckpointEntry(TypedDict):
    """What index.json says of one checkpoint."""

    file: str
    size: int
    sha256: str
    epoch: int | None
    """How many were complete; None where the index was lost and made anew."""
    step: int
    metrics: dict[str, float | None]
    score: NotRequired[float]
    """What it is ranked by among the best; lower is better."""


def parse_index(content: bytes) -> dict[str, CheckpointEntry]:
    """The entries of `last`, `best` and those after them; a ValueError or RecursionError says what is wrong."""
    index = checked_object(json.loads(content))
    entries = {name: _checked_entry(entry) for name, entry in index.items() if _NAME.fullmatch(name)}
    _check_distinct(entries)
    return entries


def with_entry(
    index: Mapping[str, CheckpointEntry], entry: CheckpointEntry, *, is_best: bool, keep_last: int, keep_best: int
) -> dict[str, CheckpointEntry]:
    """The index with `entry` as the last, and as the best if `is_best`, else among the best few by its score.

    What the index has of later steps goes.
    """
    is_ranked = is_best or "score" in entry
    place = _place(entry)
    newest = [entry, *(older for older in ranked(index, "last") if _place(older) < place)]
    best = [older for older in ranked(index, "best") if _place(older) < place + (not is_ranked)]
    return numbered("last", newest[:keep_last]) | numbered("best", _with(entry, best, is_best)[:keep_best])


def ranked(index: Mapping[str, CheckpointEntry], role: Role) -> list[CheckpointEntry]:
    """The entries of a role, first to last."""
    names = [name for name in index if name.partition("_")[0] == role]
    return [index[name] for name in sorted(names, key=lambda name: int(name.partition("_")[2] or 1))]


def numbered(role: Role, entries: list[CheckpointEntry]) -> dict[str, CheckpointEntry]:
    return {role if rank == 1 else f"{role}_{rank}": entry for rank, entry in enumerate(entries, start=1)}


def _with(entry: CheckpointEntry, best: list[CheckpointEntry], is_best: bool) -> list[CheckpointEntry]:
    """The best with `entry` in its place, behind those that are as good."""
    if is_best:
        return [entry, *best]
    if "score" not in entry:
        return best
    better = sum(other.get("score", -math.inf) <= entry["score"] for other in best)
    return [*best[:better], entry, *best[better:]]


def _place(entry: CheckpointEntry) -> int:
    """How far its run had come: in steps, or in epochs where the experiment counts no steps."""
    return entry["step"] or entry["epoch"] or 0


def _checked_entry(value: object) -> CheckpointEntry:
    entry = checked_object(value)
    missing = CheckpointEntry.__required_keys__ - entry.keys()
    if missing:
        raise ValueError(f"an entry lacks {', '.join(sorted(missing))}")
    file = entry["file"]
    if not isinstance(file, str) or not FILE_NAME.fullmatch(file):
        raise ValueError(f"{file!r} is not a file name of a checkpoint")
    for name, kinds in _KINDS.items():
        if name in entry and (not isinstance(entry[name], kinds) or isinstance(entry[name], bool)):
            raise ValueError(f"its {name} of {file} is {entry[name]!r}")
    return cast(CheckpointEntry, cast(object, entry))


def _check_distinct(index: Mapping[str, CheckpointEntry]) -> None:
    """The last may also be the best; apart from that each file has one place and one description."""
    for role in ("last", "best"):
        files = [entry["file"] for entry in ranked(index, role)]
        twice = next((file for file in files if files.count(file) > 1), None)
        if twice is not None:
            raise ValueError(f"it names {twice} twice")
    described: dict[str, CheckpointEntry] = {}
    for entry in index.values():
        if described.setdefault(entry["file"], entry) != entry:
            raise ValueError(f"it describes {entry['file']} in two ways")


def checked_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return cast(dict[str, Any], value)
