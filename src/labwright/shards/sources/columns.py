"""Tables of samples: a key for each row, a column for each field. No torch."""

import errno
import os
import stat
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from labwright.args.wording import listed

from ..errors import ShardError
from .base import Unreadable, read_one_by_one
from .content import Content

_HEADER = 512
_MAX_FILE_BYTES = 1 << 32
"""Of one file that becomes a field: it is held in memory once."""


class Column(Protocol):
    """One field of every row."""

    def num_bytes(self) -> np.ndarray | int:
        """Of the content of each row, or of all rows alike; an estimate where it is encoded later."""
        ...

    def value(self, row: int) -> Any:
        """What the codec of the field takes; an Unreadable if there is something wrong with it."""
        ...

    def labels(self) -> Sequence[Hashable] | None:
        """Something to divide rows by; None: it has nothing of the kind."""
        ...


@dataclass(frozen=True)
class FileColumn:
    """Files, each read when it is asked for."""

    root: Path
    names: Sequence[str]
    """Of the files, relative to `root`."""
    content: Content

    def num_bytes(self) -> np.ndarray:
        return np.array([self._num_bytes(name) for name in self.names], dtype=np.int64)

    def _num_bytes(self, name: str) -> int:
        try:
            return os.stat(self.root / name).st_size
        except OSError:  # said when it is read
            return 0

    def value(self, row: int) -> bytes:
        path = self.root / self.names[row]
        return self.content.member(read_file(path), str(path))

    def labels(self) -> None:
        return None


@dataclass(frozen=True)
class ValueColumn:
    """Values in memory: numbers, texts, documents."""

    values: Sequence[Any]

    def num_bytes(self) -> int:
        return _HEADER

    def value(self, row: int) -> Any:
        return self.values[row]

    def labels(self) -> Sequence[Hashable]:
        return self.values


@dataclass(frozen=True)
class ArrayColumn:
    """The rows of an array, which the codec of the field encodes."""

    array: np.ndarray

    def num_bytes(self) -> int:
        return self.array[:1].nbytes + _HEADER

    def value(self, row: int) -> np.ndarray:
        return self.array[row]

    def labels(self) -> None:
        return None


@dataclass(frozen=True)
class Table:
    """A split as rows: implements `Samples`."""

    keys: Sequence[str]
    columns: Mapping[str, Column]
    """By field."""
    others: Mapping[str, Sequence[Hashable]] = field(default_factory=dict[str, Sequence[Hashable]])
    """Columns that are not packed, and may say which samples belong together."""

    def sizes(self) -> np.ndarray:
        total = np.zeros(len(self.keys), dtype=np.int64)
        for column in self.columns.values():
            num_bytes = np.asarray(column.num_bytes(), dtype=np.int64)
            total += num_bytes + (-num_bytes) % _HEADER + _HEADER
        return total

    def read(self, positions: Sequence[int]) -> Iterator[dict[str, Any] | Unreadable]:
        return read_one_by_one(self._read, positions)

    def _read(self, position: int) -> dict[str, Any]:
        return {name: column.value(position) for name, column in self.columns.items()}

    def labels(self, name: str) -> Sequence[Hashable]:
        column = self.columns.get(name)
        labels = self.others.get(name) if column is None else column.labels()
        if labels is None:
            known = [*self.others, *(field for field, each in self.columns.items() if each.labels() is not None)]
            raise ShardError(f"samples cannot be divided by {name!r}; by {listed(map(repr, dict.fromkeys(known)))}")
        return labels


def read_file(path: Path) -> bytes:
    """The content of a regular file; an Unreadable for anything else, without waiting at a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(f"{path} is no regular file")
            if status.st_size > _MAX_FILE_BYTES:
                raise Unreadable(f"{path} has more than {_MAX_FILE_BYTES >> 30} GiB")
            return file.read(status.st_size)
    except OSError as error:
        reason = "it is no regular file" if error.errno == errno.ENXIO else error.strerror or str(error)
        raise Unreadable(f"cannot read {path}: {reason}") from error
