"""Pack a source into shards, by several threads, with the same bytes whatever their number. No torch.

The shards are planned from the samples' sizes; each is written as a part of its own, and the parts are merged.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .codecs import codec
from .errors import ShardError
from .manifest import read_manifest
from .merge import merge_parts
from .packing_place import packing_place
from .sources.base import Samples, Source, Unreadable
from .tar import END
from .writer import SHARD_BYTES, ShardWriter

_MAX_WORKERS = 16
_CLASS_CODEC = "cls"
_TICK_SECONDS = 0.1


@dataclass(frozen=True)
class Packed:
    """What was written, and what was left out."""

    num_samples: dict[str, int]
    """By split."""
    class_counts: dict[str, dict[str, dict[int, int]]]
    """By field of classes, then by split: how many samples each class has."""
    num_shards: int
    num_bytes: int
    left_out: list[str]
    """What could not be read, a line each."""
    seconds: float


@dataclass(frozen=True)
class _Part:
    """Samples of one split that fill a shard: the positions from `start` to before `stop`."""

    split: str
    start: int
    stop: int


@dataclass
class _Written:
    """What came of a part."""

    num_samples: int = 0
    classes: dict[str, Counter[int]] = field(default_factory=dict[str, Counter[int]])
    left_out: list[str] = field(default_factory=list[str])


class _Stopped(Exception):
    """An earlier part has failed, or nobody waits any more."""


def available_workers() -> int:
    """Threads that `pack` uses where no number is said: one for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MAX_WORKERS)


def pack(
    source: Source,
    path: Path,
    *,
    append: bool = False,
    shard_bytes: int = SHARD_BYTES,
    shard_samples: int | None = None,
    skip_unreadable: bool = False,
    num_workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Packed:
    """Write the samples of `source` into a new dataset at `path`, or with `append` add them to it.

    The files are the same whatever `num_workers` is. `skip_unreadable` leaves out what cannot be read, and says what;
    `progress` is called now and then with the number of samples that are new.

    Raises:
        Unreadable: a file or row cannot be packed; nothing was written.
        ShardError: there is a dataset already, or the dataset has other fields.
    """
    begun = time.monotonic()
    if source.unreadable and not skip_unreadable:
        more = len(source.unreadable) - 1
        raise Unreadable(f"{source.unreadable[0]}{f', and {more:,} more like this' if more else ''}")
    parts = [part for name in source.splits for part in _plan(name, source.splits[name], shard_bytes, shard_samples)]
    if not parts:
        raise ShardError("there is no sample to pack")
    options = {"append": append, "shard_bytes": shard_bytes}
    job = _Job(source, path, parts, skip_unreadable, options)
    with packing_place(path, append=append):
        done = job.run(min(num_workers or available_workers(), len(parts)), progress)
        left_out = [*map(str, source.unreadable), *(line for written in done for line in written.left_out)]
        if not any(written.num_samples for written in done):
            raise Unreadable(f"no sample can be packed; {left_out[0]}")
        merge_parts(path, num_parts=len(parts))
    return _summed(source, parts, done, left_out, path, time.monotonic() - begun)


def _plan(split: str, samples: Samples, shard_bytes: int, shard_samples: int | None) -> Iterator[_Part]:
    """Shards in the order of the samples, each as full as it may be."""
    ends = np.cumsum(samples.sizes())
    start = 0
    while start < len(ends):
        room = shard_bytes - len(END) + (int(ends[start - 1]) if start else 0)
        stop = max(int(np.searchsorted(ends, room, side="right")), start + 1)
        stop = stop if shard_samples is None else min(stop, start + shard_samples)
        yield _Part(split, start, stop)
        start = stop


class _Job:
    """Writes the parts, and knows when to stop."""

    def __init__(
        self, source: Source, path: Path, parts: Sequence[_Part], skip_unreadable: bool, options: dict[str, Any]
    ) -> None:
        self._source = source
        self._path = path
        self._parts = parts
        self._skip_unreadable = skip_unreadable
        self._options = options
        self._last = len(parts)
        """Parts from this one on are not needed: one before has failed."""
        self._lock = threading.Lock()
        self._num_done = 0

    def run(self, num_workers: int, progress: Callable[[int], object] | None) -> list[_Written]:
        """What came of each part; the error of the first part that has one."""
        num_shown = 0
        with ThreadPoolExecutor(num_workers, thread_name_prefix="pack") as pool:
            futures = [pool.submit(self._write, number) for number in range(len(self._parts))]
            try:
                waiting = set(futures)
                while waiting:
                    waiting = wait(waiting, timeout=_TICK_SECONDS).not_done
                    if progress is not None:
                        num_done = self._num_done
                        progress(num_done - num_shown)
                        num_shown = num_done
            except BaseException:
                self._last = 0
                raise
        for future in futures:
            error = future.exception()
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def _write(self, number: int) -> _Written:
        part, written = self._parts[number], _Written()
        samples = self._source.splits[part.split]
        keys = samples.keys
        try:
            with ShardWriter(
                self._path,
                list(self._source.fields),
                codecs=self._source.fields,
                metadata=self._source.metadata,
                part=number,
                progress=False,
                **self._options,
            ) as writer:
                positions = range(part.start, part.stop)
                for position, sample in zip(positions, samples.read(positions), strict=True):
                    if number > self._last:
                        raise _Stopped
                    if not isinstance(sample, Unreadable):
                        writer.write(part.split, keys[position], sample)
                        self._count(sample, written)
                    elif self._skip_unreadable:
                        written.left_out.append(str(sample))
                    else:
                        raise sample
        except BaseException:
            with self._lock:
                self._last = min(self._last, number)
            raise
        return written

    def _count(self, values: dict[str, Any], written: _Written) -> None:
        for name, codec_name in self._source.fields.items():
            if codec_name == _CLASS_CODEC:
                value = values[name]
                label = int(codec(codec_name).decode(value) if isinstance(value, bytes) else value)
                written.classes.setdefault(name, Counter())[label] += 1
        written.num_samples += 1
        with self._lock:
            self._num_done += 1


def _summed(
    source: Source, parts: Sequence[_Part], done: Sequence[_Written], left_out: list[str], path: Path, seconds: float
) -> Packed:
    num_samples = dict.fromkeys(source.splits, 0)
    classes: dict[str, dict[str, Counter[int]]] = {}
    for part, written in zip(parts, done, strict=True):
        num_samples[part.split] += written.num_samples
        for name, counts in written.classes.items():
            classes.setdefault(name, {}).setdefault(part.split, Counter()).update(counts)
    manifest = read_manifest(path)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    sorted_counts = {
        name: {split: dict(sorted(counts.items())) for split, counts in splits.items()}
        for name, splits in classes.items()
    }
    return Packed(num_samples, sorted_counts, len(shards), sum(shard.num_bytes for shard in shards), left_out, seconds)
