"""Files that survive a kill: whole files replaced atomically, JSON lines appended one by one."""

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

Payload = bytes | Callable[[BinaryIO], None]


def write_durably(path: Path, data: Payload, *, mode: int = 0o666) -> str:
    """Replace `path` by `data` (bytes, or a function that writes to an open file) and return its SHA-256 (hex).

    Whoever reads `path` sees the old content or the new one, never a part, also after a kill or a power cut.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    file = open(temporary, "x+b", opener=lambda name, flags: os.open(name, flags, mode))
    try:
        with file:
            if callable(data):
                data(file)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            hashed = hashlib.file_digest(file, "sha256") if callable(data) else hashlib.sha256(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return hashed.hexdigest()


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable, where the system can."""
    if os.name == "nt":  # directories cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no fsync for directories
            raise
    finally:
        os.close(descriptor)


def strict_json(value: object, *, indent: int | None = None) -> bytes:
    """`value` as JSON that every reader accepts: NaN and infinities, which JSON does not know, become null."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, ensure_ascii=False, indent=indent)
    # A lone surrogate (an undecodable byte of a file name) comes out as \udcXX, which is how JSON spells it.
    return text.encode("utf-8", "backslashreplace")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast(dict[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast(list[object], value)]
    return value


class JsonlWriter:
    """Appends rows to a JSON-lines file: each is handed to the system at once, and to the disk too with `sync`.

    The file is made by the first row. What a kill left of a half-written last row is removed before that.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self.path = path
        self.sync = sync
        self._file: BinaryIO | None = None

    def append(self, row: Mapping[str, object]) -> None:
        """Write one row."""
        if self._file is None:
            self._file = self._open()
        self._file.write(strict_json(row) + b"\n")
        self._file.flush()
        if self.sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        is_new = not self.path.exists()
        file = open(self.path, "a+b")
        _mend_last_line(file)
        if is_new and self.sync:
            sync_directory(self.path.parent)
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _mend_last_line(file: BinaryIO) -> None:
    """End the last line of `file` if only its newline is missing, remove it if more is."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.rfind(b"\n") + 1
        last = content[start:]
    if not last:
        return
    if _parse_row(last) is None:
        file.truncate(start)
    else:
        file.write(b"\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; a last line that was cut short (a killed writer) does not count.

    A missing file has no rows. A broken line elsewhere is a ValueError that names it.
    """
    content = b""
    with contextlib.suppress(FileNotFoundError):
        content = path.read_bytes()
    *lines, last = content.split(b"\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        row = _parse_row(line)
        if row is None:
            raise ValueError(f"{path}, line {number}: not a JSON object: {line[:60]!r}")
        rows.append(row)
    row = _parse_row(last)
    return rows if row is None else [*rows, row]


def _parse_row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], row) if isinstance(row, dict) else None
