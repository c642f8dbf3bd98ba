"""Memory that tensors free on the CPU, kept for those of the next step."""

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from .system_memory import free_memory, process_memory, process_peak

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # malloc.h
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}  # -1: never
_USUAL = {_MMAP_MAX: 2**16, _MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}
"""The default, and the most that glibc comes to by itself, which it does no more once it was told."""
_SHARE = 0.25
_SECONDS = 1.0
_KEEPING: "set[FreedMemory]" = set()
"""Of the blocks that this process is in: it has one memory."""


class FreedMemory:
    """Has glibc keep what is freed, until `give_back`.

    By itself glibc returns large pieces to the system at once. The gradients, outputs and temporaries of each step then
    come in pages that the system has to find and to fill with zeros, which is between a tenth and over a third of the
    CPU time of a step (benchmarks/freed_memory.py).

    The pieces that are kept do not always fit, and the process may become two to three times as large. So `look`,
    called between steps, ends this where less than a quarter of the memory is free that there was to begin with. Unless
    it is to begin `at_once`, the first look begins it, where the process has not taken more than such a quarter until
    then. Forked processes, in which nobody looks, keep nothing; nor does a thread that once asked for more than there
    was, since glibc then has another place for what it asks for.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        free = free_memory()
        self._least_free = 0 if free is None else int(_SHARE * (free + (process_memory() or 0)))
        self._looked = time.monotonic()
        self._may_begin = not at_once
        if at_once:
            self._begin()

    @property
    def is_kept(self) -> bool:
        """Whether what is freed is kept for this block."""
        return self in _KEEPING

    def look(self) -> bool:
        """Give back, for all blocks, if memory has become short; whether that was so. Looks once a second at most."""
        now = time.monotonic()
        if self._may_begin:
            self._may_begin, peak = False, process_peak()
            if peak is not None and peak <= self._least_free:
                self._begin()
        if not self.is_kept or now - self._looked < _SECONDS:
            return False
        self._looked, free = now, free_memory()
        if free is None or free >= self._least_free:
            return False
        _KEEPING.clear()
        _give_back()
        return True

    def _begin(self) -> None:
        _set(_KEPT)
        _KEEPING.add(self)

    def give_back(self) -> None:
        """Have freed memory go back to the system from now on, and what has been kept where nothing lies in it.

        Not before the last of several blocks that keep it does so.
        """
        if self.is_kept:
            _KEEPING.remove(self)
            if not _KEEPING:
                _give_back()


@contextmanager
def kept_freed_memory(*, at_once: bool = True) -> Iterator[FreedMemory | None]:
    """Within, glibc keeps what is freed, as FreedMemory says; None: this process has its memory of somebody else."""
    memory = FreedMemory(at_once=at_once) if can_keep() else None
    try:
        yield memory
    finally:
        if memory is not None:
            memory.give_back()


def can_keep() -> bool:
    """Whether this process has its memory of glibc."""
    return _glibc() is not None


def _give_back() -> None:
    _set(_USUAL).malloc_trim(0)


def _set(options: dict[int, int]) -> ctypes.CDLL:
    libc = _glibc()
    assert libc is not None
    for option, value in options.items():
        libc.mallopt(option, value)
    return libc


def _leave_to_parent() -> None:
    if _KEEPING:
        _KEEPING.clear()
        _set(_USUAL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    if not all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")):
        return None
    # jemalloc and tcmalloc, which many load before torch, stand before its malloc
    addresses = [ctypes.cast(each.malloc, ctypes.c_void_p).value for each in (libc, ctypes.CDLL("libc.so.6"))]
    return libc if addresses[0] == addresses[1] else None
