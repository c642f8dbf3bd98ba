"""A shard in memory: mapped, and looked after, so that a file that changes is an error, not the end of the process.

No torch.

What is copied from the map is safe but for one case: a file that is cut short between the look at it and the copy, some
microseconds later, ends the process (SIGBUS). `MappedShard.read` has no such moment.
"""

import mmap
import os
import stat
import time
import weakref
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .disk import place_of, reading
from .errors import ShardError

LOOK_EVERY = 0.2
"""Seconds between two looks at what stands under the path."""


class Identity(NamedTuple):
    """By which a file is known again."""

    num_bytes: int
    modified: int
    """In nanoseconds."""
    inode: int


def identify(path: Path) -> Identity:
    """What the file at `path` is known by; a ShardError if there is none."""
    with reading(place_of(path)):
        return _identity(os.stat(path), path)


class MappedShard:
    """The bytes of a shard, to be read at any place: `shard.view[start:stop]`, `shard.rows(size)[starts]`."""

    def __init__(self, path: Path, known: Identity | None = None) -> None:
        self.path = path
        with reading(place_of(path)):
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self._descriptor)
            self.identity = _identity(os.fstat(self._descriptor), path)
            if known is not None and self.identity != known:
                raise self._changed(self.identity, known)
            num_bytes = self.identity.num_bytes
            self._file = mmap.mmap(self._descriptor, num_bytes, access=mmap.ACCESS_READ) if num_bytes else None
        self.view = b"" if self._file is None else self._file
        """Slices of it are bytes."""
        self.bytes = np.frombuffer(self.view, np.uint8)
        if self._file is not None and hasattr(mmap, "MADV_RANDOM"):
            # Else a page from a disk brings what lies around it: of small samples fifty times what was asked for.
            self._file.madvise(mmap.MADV_RANDOM)
        self._looked = time.monotonic()

    def __len__(self) -> int:
        return len(self.view)

    def check(self, *, identity: bool = True) -> None:
        """A ShardError if the file was cut short, for to read beyond its end then would end the process; with
        `identity` also if it has been changed or another has taken its place. To be called before a batch."""
        num_bytes = os.fstat(self._descriptor).st_size
        if num_bytes < len(self):
            raise self._cut_short(num_bytes)
        if identity and time.monotonic() - self._looked > LOOK_EVERY:
            found = identify(self.path)
            if found != self.identity:
                raise self._changed(found, self.identity)
            self._looked = time.monotonic()

    def expect(self, offsets: np.ndarray, sizes: np.ndarray) -> None:
        """Have these stretches fetched from the disk, all at once, while other work goes on."""
        if self._file is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        order = np.argsort(offsets)
        starts = offsets[order] // mmap.PAGESIZE * mmap.PAGESIZE
        lengths = (offsets + sizes)[order] - starts
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            self._file.madvise(mmap.MADV_WILLNEED, start, length)

    def read(self, offsets: np.ndarray, sizes: np.ndarray) -> list[bytes]:
        """The bytes of each stretch, asked of the system, in the order in which they lie.

        Slower than from the map by a microsecond for each, but a file that is cut short at this very moment, or a disk
        that fails, is a ShardError and not the end of the process.
        """
        if not hasattr(os, "pread"):  # on Windows, where nobody can cut a mapped file short
            ends = offsets + sizes
            return [self.view[start:end] for start, end in zip(offsets.tolist(), ends.tolist(), strict=True)]
        order = np.argsort(offsets)
        contents = [b""] * len(order)
        with reading(place_of(self.path)):
            stretches = zip(order.tolist(), offsets[order].tolist(), sizes[order].tolist(), strict=True)
            for row, offset, size in stretches:
                content = os.pread(self._descriptor, size, offset)
                contents[row] = content if len(content) == size else self._rest(content, offset, size)
        return contents

    def _rest(self, content: bytes, offset: int, size: int) -> bytes:
        """All of a stretch of which the system gave a part: it gives 2 GiB at a time."""
        while len(content) < size:
            more = os.pread(self._descriptor, size - len(content), offset + len(content))
            if not more:
                raise self._cut_short(os.fstat(self._descriptor).st_size)
            content += more
        return content

    def rows(self, size: int) -> np.ndarray:
        """Every stretch of `size` bytes there is, by where it begins; indexing copies those asked for."""
        return np.ndarray((max(0, len(self) - size + 1),), f"V{size}", self.bytes, 0, (1,))

    def _cut_short(self, num_bytes: int) -> ShardError:
        what = f"it was cut short while it was read: it has {num_bytes:,} bytes and had {len(self):,}"
        return ShardError(what, shard=place_of(self.path))

    def _changed(self, found: Identity, known: Identity) -> ShardError:
        what = "another file has taken its place" if found.inode != known.inode else "it was written to"
        sizes = f": it has {found.num_bytes:,} bytes and had {known.num_bytes:,}" if found[0] != known[0] else ""
        return ShardError(f"{what} since the dataset was opened{sizes}; open it again", shard=place_of(self.path))


def _identity(found: os.stat_result, path: Path) -> Identity:
    if not stat.S_ISREG(found.st_mode):
        raise ShardError("it is not a file", shard=place_of(path))
    return Identity(found.st_size, found.st_mtime_ns, found.st_ino)
