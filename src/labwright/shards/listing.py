"""Which tar files make up which split, in a directory without a manifest: what its names tell. No torch."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .names import check_field, check_key, split_name

Kind = Literal["labwright", "quix", "webdataset"]
SplitName = Callable[[str], tuple[str, str] | None]
"""Key and field of a member; None: it belongs to no sample, and is left out."""

KNOWN_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "minival")
_NUMBER = re.compile(r"[-_.]?\d*$")


@dataclass(frozen=True)
class Listing:
    """The tar files of a dataset, by split, and how the names of their members are understood."""

    kind: Kind
    directory: Path
    splits: dict[str, tuple[str, ...]]
    """Paths below the directory, `/` between their parts, in the order of the samples."""
    split_name: SplitName
    metadata: dict[str, Any] = field(default_factory=dict)


def strict_name(name: str) -> tuple[str, str]:
    """Key and field of a member as labwright writes it; a ShardError if they are not."""
    key, found = split_name(name)
    check_key(key)
    check_field(found)
    return key, found


def group_by_split(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Names of tar files by the split that each name tells, `train` where it tells none; known splits first."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(_told(name), []).append(name)
    untold = [split for split in groups if split not in KNOWN_SPLITS]
    if len(untold) == 1 and "train" not in groups:
        groups["train"] = groups.pop(untold[0])
    return {split: tuple(groups[split]) for split in sorted(groups, key=_rank)}


def _rank(split: str) -> tuple[int, str]:
    return KNOWN_SPLITS.index(split) if split in KNOWN_SPLITS else len(KNOWN_SPLITS), split


def _told(name: str) -> str:
    """The split in a name: `train` for `imagenet-train-000012.tar` and `train/12.tar`, `birds` for `birds_3.tar`."""
    *folders, file = name.split("/")
    stem = _NUMBER.sub("", file.removesuffix(".tar"))
    words = re.split(r"[-_.]", stem.lower())
    known = [word for word in words if word in KNOWN_SPLITS]
    if known:
        return known[0]
    return re.sub(r"[^A-Za-z0-9_]+", "_", folders[-1] if folders else stem).strip("_")[:64] or "train"
