"""Shards as a source of other shards: the bytes of the members stay as they are. No torch."""

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from labwright.args.wording import listed

from ..codecs import codec, codec_name
from ..errors import ShardError
from ..files import ShardFiles
from ..opened import Opened, OpenedSplit
from ..tar import BLOCK
from .base import Samples, Source, Unreadable

_DIVIDING = ("cls", "txt", "json")
_CHUNK = 256
_CHUNK_BYTES = 16 << 20
"""How much is read at a time, at most; but at least one sample."""


def stored_source(dataset: Opened, codecs: Mapping[str, str] | None = None) -> Source:
    """The samples of a dataset, checked against their checksums where it has any.

    `codecs` says another codec than a field's name does. A sample without one of the fields is Unreadable.
    """
    chosen = {name: _known(name, each) for name, each in dataset.codecs.items()}
    for name, each in (codecs or {}).items():
        if name not in chosen:
            raise ShardError(f"{dataset.directory} has no field {name!r}; it has {listed(chosen)}")
        codec(each)
        chosen[name] = each
    splits: dict[str, Samples] = {name: StoredSamples(dataset.split(name), chosen) for name in dataset.splits}
    return Source(chosen, splits, dataset.metadata)


def _known(field: str, name: str) -> str:
    """The codec `name`, if there is one that may be written; else bytes."""
    try:
        codec(name)
    except ShardError:
        return "bytes" if codec_name(field) in ("bytes", name) else codec_name(field)
    return name


class StoredSamples:
    """A split of a dataset: implements `Samples`."""

    def __init__(self, split: OpenedSplit, codecs: Mapping[str, str]) -> None:
        self._split = split
        self._codecs = codecs
        self._of_thread = threading.local()

    @property
    def keys(self) -> Sequence[str]:
        return self._keys

    @cached_property
    def _keys(self) -> Sequence[str]:
        return self._split.index.keys[np.arange(len(self._split.index))]

    @cached_property
    def _places(self) -> dict[str, np.ndarray]:
        records = self._split.index.records["fields"]
        return {name: records[name] for name in self._split.index.fields}

    @property
    def _files(self) -> ShardFiles:
        files: ShardFiles | None = getattr(self._of_thread, "files", None)
        if files is None:
            files = ShardFiles(self._split, verify="read" if self._split.has_checksums else "open")
            self._of_thread.files = files
        return files

    def sizes(self) -> np.ndarray:
        total = np.zeros(len(self._split.index), dtype=np.int64)
        for place in self._places.values():
            sizes = place["size"].astype(np.int64)
            total += sizes + (-sizes) % BLOCK + BLOCK
        return total

    def read(self, positions: Sequence[int]) -> Iterator[dict[str, Any] | Unreadable]:
        wanted = np.asarray(positions, dtype=np.int64)
        ends = np.cumsum(self.sizes()[wanted])
        start = 0
        while start < len(wanted):
            room = _CHUNK_BYTES + (int(ends[start - 1]) if start else 0)
            stop = max(min(int(np.searchsorted(ends, room, side="right")), start + _CHUNK), start + 1)
            yield from self._read(wanted[start:stop])
            start = stop

    def _read(self, positions: np.ndarray) -> Iterator[dict[str, Any] | Unreadable]:
        is_whole = np.ones(len(positions), dtype=bool)
        for name in self._codecs:
            is_whole &= self._places[name]["offset"][positions] > 0 if name in self._places else False
        whole = positions[is_whole]
        columns = {name: iter(self._files.read_many(whole, name)) for name in self._codecs}
        for position, is_complete in zip(positions.tolist(), is_whole.tolist(), strict=True):
            if is_complete:
                yield {name: next(column) for name, column in columns.items()}
            else:
                yield self._incomplete(position)

    def _incomplete(self, position: int) -> Unreadable:
        missing = [
            name for name in self._codecs if name not in self._places or not self._places[name]["offset"][position]
        ]
        what = f"it is incomplete: it has no {listed(missing)}"
        return Unreadable(what, shard=self._shard(position), key=self.keys[position])

    def labels(self, name: str) -> Sequence[Hashable]:
        if name not in self._codecs:
            raise ShardError(f"there is no field {name!r} to divide samples by; there are {listed(self._codecs)}")
        if self._codecs[name] not in _DIVIDING:
            raise ShardError(f"samples cannot be divided by {name!r} ({self._codecs[name]}): only by cls, txt and json")
        decode = codec(self._codecs[name]).decode
        found: list[Hashable] = []
        for start in range(0, len(self._split.index), _CHUNK):
            positions = np.arange(start, min(start + _CHUNK, len(self._split.index)))
            for position, data in zip(positions, self._files.read_many(positions, name), strict=True):
                try:
                    found.append(_label(decode(data)))
                except ValueError as error:
                    raise self._files.error(str(error), int(position), name) from error
        return found

    def _shard(self, position: int) -> str:
        return self._split.shards[int(self._split.index.records["shard"][position])].path.name


def _label(value: Any) -> Hashable:
    if not isinstance(value, int | float | str):
        raise ShardError(f"it is a {type(value).__name__}, no number and no text to divide samples by")
    return value
