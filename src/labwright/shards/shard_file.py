"""One tar file as it is being written. No torch."""

import contextlib
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast
from zlib import crc32

from labwright.runs.durable import disk_errors

from .manifest import ShardInfo
from .tar import END, padding

_BUFFER_BYTES = 1 << 16
"""Members are hashed and handed to the system in pieces of this size: few calls, and still in the cache."""


class ShardFile:
    """A tar file that grows by samples; `finish` makes it durable.

    Raises:
        DiskError: the disk is full, or failed; what is written then is of no use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_bytes = 0
        self.num_samples = 0
        self._pieces: list[bytes] = []
        self._num_waiting = 0
        self._sha256 = sha256()
        with disk_errors(path):
            self._file = cast(BinaryIO, open(path, "xb", buffering=0))  # our buffer is the only one

    def add(self, headers: Sequence[bytes], contents: Sequence[bytes]) -> list[int]:
        """Append the members of one sample; offset, size and CRC-32 of each content, one after another."""
        places: list[int] = []
        pieces = self._pieces
        start = end = self.num_bytes
        for head, content in zip(headers, contents, strict=True):
            size = len(content)
            offset = end + len(head)
            places += (offset, size, crc32(content))
            fill = padding(size)
            pieces += (head, content, bytes(fill))
            end = offset + size + fill
        self.num_bytes = end
        self.num_samples += 1
        self._num_waiting += end - start
        if self._num_waiting >= _BUFFER_BYTES:
            self._write()
        return places

    def finish(self) -> ShardInfo:
        """End the file and make it durable; what the manifest says of it."""
        self._pieces.append(END)
        self.num_bytes += len(END)
        self._write()
        with disk_errors(self.path), self._file:
            os.fsync(self._file.fileno())
        return ShardInfo(
            name=self.path.name,
            num_bytes=self.num_bytes,
            sha256=self._sha256.hexdigest(),
            num_samples=self.num_samples,
        )

    def close(self) -> None:
        """Close the file, whatever is written by now."""
        with contextlib.suppress(OSError):  # a network disk may refuse only now
            self._file.close()

    def _write(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._num_waiting = 0
        self._sha256.update(data)
        rest = memoryview(data)
        with disk_errors(self.path):
            while rest:
                rest = rest[self._file.write(rest) :]
