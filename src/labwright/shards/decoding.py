"""Decoding the samples of a batch, in threads of the process that asked for it. No torch."""

import math
import os
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Literal

import numpy as np

from .errors import ShardError

NumThreads = int | Literal["auto"]
_PARTS = 4
"""Of a batch for each thread, since some samples take longer than others."""


_MOST_BYTES = 1 << 30
"""Of an array that is made for a batch before it is known that its samples are all as large as the first."""


WORTH_KEEPING = 1 << 20
_MOST_KEPT = 3


def num_cores() -> int:
    """The processors this process may use, shared among the ranks on the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


class Threads:
    """At most `num_threads` threads, never more than processors; made at the first use in each process."""

    def __init__(self, num_threads: NumThreads) -> None:
        if num_threads != "auto" and num_threads < 1:
            raise ShardError(f'num_threads has to be at least 1, or "auto", not {num_threads}')
        self.num_threads: NumThreads = num_threads
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"num_threads": self.num_threads, "_pool": None, "_process": 0}

    def map(self, function: Callable[[int], Any], count: int, *, most: int | None = None) -> list[Any]:
        """`function` of 0, 1, ... `count` - 1, in this order; the error of the first of them that fails.

        `most` says how many threads there may be besides what the processors allow.
        """
        size = min(num_cores(), count, *(each for each in (self.num_threads, most) if isinstance(each, int)))
        if size <= 1:
            return [function(number) for number in range(count)]
        step = max(1, -(-count // (size * _PARTS)))
        starts = range(0, count, step)
        pool = self._of_this_process()
        parts = pool.map(lambda start: [function(each) for each in range(start, min(start + step, count))], starts)
        return list(chain.from_iterable(parts))

    def close(self) -> None:
        """End the threads; the next use makes new ones."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown(cancel_futures=True)
        self._pool = None

    def _of_this_process(self) -> ThreadPoolExecutor:
        """The pool; one from before a fork has no threads here."""
        if self._pool is None or self._process != os.getpid():
            most = num_cores() if self.num_threads == "auto" else min(num_cores(), self.num_threads)
            self._pool = ThreadPoolExecutor(most, thread_name_prefix="decode")
            self._process = os.getpid()
            weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True).atexit = False
        return self._pool


class Buffers:
    """Arrays for batches, in memory of earlier ones that nobody holds any more.

    The system clears fresh memory and hands it over page by page, which costs a tenth of what decoding into it does.
    """

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": []}

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array that nobody else has, holding anything."""
        size = math.prod(shape) * dtype.itemsize
        if size < WORTH_KEEPING:
            return np.empty(shape, dtype)
        for _ in range(len(self._kept)):
            try:
                buffer, num_references = _taken(self._kept)
            except IndexError:
                break
            is_free = num_references == _ALONE
            if not is_free or buffer.nbytes == size:
                self._kept.append(buffer)
            if is_free and buffer.nbytes == size:
                return buffer.view(dtype).reshape(shape)
        buffer = np.empty(size, np.uint8)
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(buffer)
        return buffer.view(dtype).reshape(shape)


def _taken(kept: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """The first of these, where another thread finds it no more, and how many references there are to it.

    Whoever has a view of it holds one; so does this function, by as many as its Python counts.
    """
    buffer = kept.pop(0)
    return buffer, sys.getrefcount(buffer)


_ALONE = _taken([np.empty(1)])[1]


def decoded_together(
    decode: Callable[[int, np.ndarray | None], Any], count: int, threads: Threads, buffers: Buffers, most: int | None
) -> "np.ndarray | list[Any]":
    """What `decode` makes of 0, 1, ... `count` - 1: one array, if all are arrays of one shape and dtype; else a list.

    `decode` is given the place where the value is to lie, and returns that if it has put it there: large values are not
    moved once more, for which a processor would have to fetch them again.
    """
    if not count:
        return []
    first = decode(0, None)
    if not isinstance(first, np.ndarray) or first.dtype.hasobject or first.nbytes * count > _MOST_BYTES:
        return [first, *threads.map(lambda number: decode(number + 1, None), count - 1, most=most)]
    values = buffers.empty((count, *first.shape), first.dtype)
    values[0] = first
    others: dict[int, Any] = {}

    def put(number: int) -> None:
        out = values[number]
        value = decode(number, out)
        if value is out:
            return
        if isinstance(value, np.ndarray) and value.shape == out.shape and value.dtype == out.dtype:
            values[number] = value
        else:
            others[number] = value

    threads.map(lambda number: put(number + 1), count - 1, most=most)
    return [others.get(number, values[number]) for number in range(count)] if others else values
