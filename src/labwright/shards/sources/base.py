"""A source: samples that are read one by one, wherever they come from. No torch."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from labwright.args.wording import nearest, quoted

from ..errors import ShardError

SPLIT_NAMES = ("train", "val", "valid", "validation", "dev", "test")
"""Folders of these names, and no others beside them, are splits."""


class Unreadable(ShardError):
    """A file or a row that cannot be packed: says which, and why."""


class Samples(Protocol):
    """A split of a source."""

    @property
    def keys(self) -> Sequence[str]:
        """One for each sample, in their order."""
        ...

    def sizes(self) -> np.ndarray:
        """Bytes that each sample takes in a shard, int64; an estimate where nobody knows before it is read."""
        ...

    def read(self, positions: Sequence[int]) -> "Iterator[dict[str, Any] | Unreadable]":
        """The fields of each sample, encoded or not, or what is wrong with it; a few are in memory at a time."""
        ...

    def labels(self, name: str) -> Sequence[Hashable]:
        """What the field or column `name` says of each sample, to divide them by."""
        ...


def read_one_by_one(
    read: Callable[[int], dict[str, Any]], positions: Iterable[int]
) -> "Iterator[dict[str, Any] | Unreadable]":
    """`Samples.read` by a function that reads one, or raises what is wrong with it."""
    for position in positions:
        try:
            yield read(position)
        except Unreadable as error:
            yield error


@dataclass(frozen=True)
class Source:
    """What a dataset is packed from: `source.splits["train"].read(0)`."""

    fields: dict[str, str]
    """Each field and the codec it is written with, in the order of the members."""
    splits: dict[str, Samples]
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    unreadable: tuple[Unreadable, ...] = ()
    """What was found and is no sample."""
    notes: tuple[str, ...] = ()
    """What a user might like to know: columns that are not packed."""


@dataclass(frozen=True)
class Chosen:
    """Some samples of a split."""

    samples: Samples
    positions: np.ndarray

    @property
    def keys(self) -> Sequence[str]:
        return self._keys

    @cached_property
    def _keys(self) -> Sequence[str]:
        keys = self.samples.keys
        return [keys[int(position)] for position in self.positions]

    def sizes(self) -> np.ndarray:
        return self.samples.sizes()[self.positions]

    def read(self, positions: Sequence[int]) -> Iterator[dict[str, Any] | Unreadable]:
        return self.samples.read(self.positions[np.asarray(positions, dtype=np.int64)].tolist())

    def labels(self, name: str) -> Sequence[Hashable]:
        labels = self.samples.labels(name)
        return [labels[int(position)] for position in self.positions]


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Class names in their order: sorted, as numbers where all are."""
    names = list(names)
    return sorted(names, key=lambda name: (int(name), name) if all(map(_is_number, names)) else (0, name))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,18}", text) is not None


def class_metadata(names: Mapping[str, list[str]]) -> dict[str, Any]:
    """What a manifest says of the classes' names: a list where one field has them, else a list for each field."""
    if not names:
        return {}
    return {"class_names": next(iter(names.values())) if len(names) == 1 else dict(names)}


def known_classes(metadata: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, list[str]]:
    """The other way: the names by field, of a dataset with these fields and codecs."""
    names = metadata.get("class_names")
    if isinstance(names, dict):
        return {field: each for field, each in names.items() if isinstance(each, list)}
    first = next((field for field, codec in fields.items() if codec == "cls"), None)
    return {first: names} if first is not None and isinstance(names, list) else {}


def fields_of_columns(given: Mapping[str, str], columns: Sequence[str], where: str) -> dict[str, str]:
    """The column of each field that was asked for; a ShardError if one is not there."""
    for name, column in given.items():
        if column not in columns:
            near = nearest(column, list(columns))
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(columns)}"
            if name == column and not near:
                hint = f"it has {', '.join(columns)}: {name}={columns[0]}"
            raise ShardError(
                f"the field {name!r} needs the column {quoted(column)}, which {where} does not have; {hint}"
            )
    return dict(given)
