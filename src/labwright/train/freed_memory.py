"""Memory that tensors free on the CPU, kept for those of the next step."""

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from .system_memory import free_memory, process_memory

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # malloc.h
_NEVER = 2**31 - 1
_USUAL_TRIM_THRESHOLD, _USUAL_MMAP_MAX = 2**26, 2**16  # the most that glibc comes to by itself, and its default
_SHARE = 0.25
_SECONDS = 1.0


class FreedMemory:
    """Has glibc keep what is freed, until `give_back`.

    By itself glibc returns large pieces to the system at once. The gradients, outputs and temporaries of each step then
    come in pages that the system has to find and to fill with zeros, which is between a seventh and a third of the CPU
    time of a step (benchmarks/freed_memory.py).

    The pieces that are kept do not always fit, and the process may become up to twice as large. `look`, called now and
    then, ends this where less than a quarter of the memory is free that there was to begin with.
    """

    def __init__(self) -> None:
        free = free_memory()
        self._least_free = 0 if free is None else int(_SHARE * (free + (process_memory() or 0)))
        self._looked = time.monotonic()
        self.is_kept = True
        libc = _glibc()
        assert libc is not None
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)

    def look(self) -> bool:
        """Give back if memory has become short; whether that was so. It looks once a second at most."""
        now = time.monotonic()
        if not self.is_kept or now - self._looked < _SECONDS:
            return False
        self._looked, free = now, free_memory()
        if free is None or free >= self._least_free:
            return False
        self.give_back()
        return True

    def give_back(self) -> None:
        """Have freed memory go back to the system from now on, and what has been kept where nothing lies in it."""
        libc = _glibc()
        if libc is not None and self.is_kept:
            libc.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
            libc.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
            libc.malloc_trim(0)
        self.is_kept = False


@contextmanager
def kept_freed_memory() -> Iterator[FreedMemory | None]:
    """Within, glibc keeps what is freed, as FreedMemory says; None: this process has its memory of somebody else."""
    memory = FreedMemory() if can_keep() else None
    try:
        yield memory
    finally:
        if memory is not None:
            memory.give_back()


def can_keep() -> bool:
    """Whether this process has its memory of glibc."""
    return _glibc() is not None


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    needed = ("gnu_get_libc_version", "mallopt", "malloc_trim")
    return libc if all(hasattr(libc, name) for name in needed) else None
