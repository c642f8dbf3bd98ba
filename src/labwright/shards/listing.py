"""Which tar files make up which split, in a directory without a manifest: what its names tell. No torch."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .names import check_field, check_key, split_name

Kind = Literal["labwright", "quix", "webdataset"]
SplitName = Callable[[str], tuple[str, str] | None]
"""Key and field of a member; None: it belongs to no sample, and is left out."""

KNOWN_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "minival")
_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
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


def group_by_split(names: list[str], own: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Names of tar files by split, known splits first.

    A split is told by a word of the file's name or of its folder's; other words for one, such as `valid`, count as it
    where it is not there itself. Files that tell none are `train`; where others say that, they are splits of their own.

    Args:
        own: the splits of an index that lies beside them; their files are called `<split>-000000.tar`.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(_told(name, own), []).append(name)
    untold = groups.pop("", [])
    for alias, split in _ALIASES.items():
        if alias in groups and alias not in own and split not in groups:
            groups[split] = groups.pop(alias)
    is_told = "train" in groups
    for name in untold:
        groups.setdefault(_called(name) if is_told else "train", []).append(name)
    return {split: tuple(groups[split]) for split in sorted(groups, key=_rank)}


def _rank(split: str) -> tuple[int, str]:
    return KNOWN_SPLITS.index(split) if split in KNOWN_SPLITS else len(KNOWN_SPLITS), split


def _told(name: str, own: Collection[str]) -> str:
    """The split in a name, empty if there is none: `train` in `imagenet-train-000012.tar` and `train/12.tar`."""
    split, dash, number = name.removesuffix(".tar").rpartition("-")
    if split in own and dash and number.isdecimal():
        return split
    for part in reversed(name.removesuffix(".tar").lower().split("/")):
        for word in re.split(r"[^a-z]+", part):
            if word in KNOWN_SPLITS:
                return word
    return ""


def _called(name: str) -> str:
    """A name as one of a split: `birds` for `birds_3.tar` and `birds/3.tar`."""
    *folders, file = name.split("/")
    stem = folders[-1] if folders else _NUMBER.sub("", file.removesuffix(".tar"))
    return re.sub(r"[^A-Za-z0-9_]+", "_", stem).strip("_")[:64] or "others"
