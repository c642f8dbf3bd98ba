"""Files opened for reading, with what can be wrong about them in one line. No torch."""

import contextlib
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from .errors import ShardError


def place_of(path: Path) -> str:
    """A file as errors name it: `flowers/train-000000.tar`, for two datasets have the same names of shards."""
    return os.path.join(os.path.basename(os.path.dirname(os.path.abspath(path))), path.name)


@contextlib.contextmanager
def reading(name: str) -> Generator[None]:
    """Within this context the system's refusal to read the file called `name` is a ShardError."""
    try:
        yield
    except FileNotFoundError:
        raise ShardError("it is missing", shard=name) from None
    except OSError as error:
        raise ShardError(f"it cannot be read: {error.strerror or error}", shard=name) from error


def open_file(path: Path, name: str) -> BinaryIO:
    """A file open for reading; a ShardError if it is missing, or is a pipe, which would wait, or a device."""
    with reading(name):
        if not stat.S_ISREG(path.stat().st_mode):
            raise ShardError("it is no regular file", shard=name)
        return path.open("rb")


def read_bounded(path: Path, name: str, max_bytes: int) -> bytes:
    """The content of a file; a ShardError if it has more bytes than that."""
    with open_file(path, name) as file, reading(name):
        num_bytes = file.seek(0, 2)  # asked first: `read` allocates what it is told to read
        if num_bytes > max_bytes:
            raise ShardError(f"it has more than {max_bytes >> 20} MiB", shard=name)
        file.seek(0)
        return file.read(num_bytes)
