"""Large files written past the system's cache of files.

A checkpoint is hardly ever read, so a copy of it in that cache is of no use, and finding memory for the copy is most of
what writing costs: more than hashing it, where the system must first take that memory from somebody else.
"""

import contextlib
import errno
import hashlib
import mmap
import os
from collections.abc import Iterable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

BLOCK = 2**20
"""How much is written at once."""
_SECTOR = 4096
"""Starts and sizes are multiples of it where the cache is passed by."""
_O_DIRECT: int = getattr(os, "O_DIRECT", 0)
"""0 where there is no such thing."""


def write_unbuffered(descriptor: int, pieces: Iterable[bytes | memoryview]) -> str:
    """Write `pieces` to an empty open file, a block at a time; the SHA-256 (hex) of all.

    Whole blocks, and whole sectors after them, go past the cache where the file system can do that. A file of less than
    one block does not.
    """
    hashed = hashlib.sha256()
    block, filled = memoryview(mmap.mmap(-1, BLOCK)), 0  # which begins with a sector
    for piece in pieces:
        rest = memoryview(piece)
        rest = rest.cast("B") if rest.nbytes else memoryview(b"")
        while rest:
            size = min(BLOCK - filled, len(rest))
            block[filled : filled + size] = rest[:size]
            rest, filled = rest[size:], filled + size
            if filled == BLOCK:
                hashed.update(block)
                _set_direct(descriptor, True)
                _write(descriptor, block)
                filled = 0
    hashed.update(block[:filled])
    whole = filled - filled % _SECTOR if _is_direct(descriptor) else 0
    _write(descriptor, block[:whole])
    _set_direct(descriptor, False)
    _write(descriptor, block[whole:filled])
    return hashed.hexdigest()


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError as error:  # a piece that does not begin with a sector any more, or a file system of its own kind
            if error.errno != errno.EINVAL or not _is_direct(descriptor):
                raise
            _set_direct(descriptor, False)


def _is_direct(descriptor: int) -> bool:
    return fcntl is not None and bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & _O_DIRECT)


def _set_direct(descriptor: int, is_direct: bool) -> None:
    """Have what is written go past the cache, or through it; without effect where the file system knows one way only.

    A file system that refuses once is asked again with the next block: that costs nothing.
    """
    if fcntl is None or not _O_DIRECT or _is_direct(descriptor) is is_direct:
        return
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags ^ _O_DIRECT)
