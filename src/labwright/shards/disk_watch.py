"""Whether samples come from a disk or from memory, asked of the system's own counts. No torch."""

from typing import NamedTuple

try:
    import resource
except ImportError:  # not on Windows
    resource = None

_FEW = 8
LOOK_EVERY = 8
"""Batches between two looks while nothing comes from a disk; else each is looked at."""


class _Counts(NamedTuple):
    waits: int
    """How often the process had to wait for a page."""
    blocks: int
    """How many blocks it had read."""


class DiskWatch:
    """`is_cold` says whether it is worth telling the system what is going to be read.

    That takes a call for each sample. Where they lie in memory it is lost; where they do not, the disk then serves a
    batch at once instead of one page after the other.
    """

    def __init__(self) -> None:
        self.is_cold = False
        self._before = _counts()
        self._batches = 0

    def look(self) -> None:
        """Called before each batch: judge by what has happened since the last look."""
        self._batches += 1
        if not self.is_cold and self._batches % LOOK_EVERY:
            return
        now = _counts()
        if now.waits - self._before.waits > _FEW:
            self.is_cold = True
        elif now.blocks == self._before.blocks:
            self.is_cold = False
        self._before = now


def _counts() -> _Counts:
    if resource is None:
        return _Counts(0, 0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return _Counts(usage.ru_majflt, usage.ru_inblock)
