"""A shard in memory: mapped, and looked after, so that a file that changes is an error and not the end of the process.

No torch.
"""

import mmap
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
    try:
        found = os.stat(path)
    except OSError as error:
        raise ShardError(_reason(error), shard=path.name) from None
    return _identity(found, path)


class MappedShard:
    """The bytes of a shard, to be read at any place: `shard.view[start:stop]`, `shard.rows(size)[starts]`."""

    def __init__(self, path: Path, known: Identity | None = None) -> None:
        self.path = path
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise ShardError(_reason(error), shard=path.name) from None
        try:
            self.identity = _identity(os.fstat(descriptor), path)
            if known is not None and self.identity != known:
                raise self._changed(self.identity, known)
            self._file = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if self.identity.num_bytes else None
        except OSError as error:
            raise ShardError(_reason(error), shard=path.name) from None
        finally:
            os.close(descriptor)
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
        if self._file is not None and self._file.size() < len(self._file):
            raise ShardError(
                f"it was cut short while it was read: it has {self._file.size():,} bytes and had {len(self._file):,}",
                shard=self.path.name,
            )
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

    def rows(self, size: int) -> np.ndarray:
        """Every stretch of `size` bytes there is, by where it begins; indexing copies those asked for."""
        return np.ndarray((max(0, len(self) - size + 1),), f"V{size}", self.bytes, 0, (1,))

    def _changed(self, found: Identity, known: Identity) -> ShardError:
        what = "another file has taken its place" if found.inode != known.inode else "it was written to"
        sizes = f": it has {found.num_bytes:,} bytes and had {known.num_bytes:,}" if found[0] != known[0] else ""
        return ShardError(f"{what} since the dataset was opened{sizes}; open it again", shard=self.path.name)


def _identity(found: os.stat_result, path: Path) -> Identity:
    if not stat.S_ISREG(found.st_mode):
        raise ShardError("it is not a file", shard=path.name)
    return Identity(found.st_size, found.st_mtime_ns, found.st_ino)


def _reason(error: OSError) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error.strerror or error}"
