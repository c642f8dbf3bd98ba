"""Files that survive a kill: whole files replaced atomically, JSON lines appended one by one."""

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from labwright.args.errors import UserError

from .unbuffered import write_unbuffered

Payload = bytes | Iterable[bytes | memoryview] | Callable[[BinaryIO], None]
"""What a file is to hold: bytes, pieces of it one after another, or a function that writes to an open file."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_CAUSES = {
    errno.ENOSPC: "no space is left on the device; free some",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only now; see why (a failing disk is the usual cause)",
    errno.EIO: "the device failed (input/output error); check the disk",
}


class DiskError(UserError):
    """A file that matters could not be written; what it held before is still there."""

    def __init__(self, path: Path, error: OSError) -> None:
        cause = _CAUSES.get(error.errno or 0)
        advice = f"{cause}, then repeat the command or resume the run" if cause else error.strerror or str(error)
        super().__init__(f"{path} cannot be written: {advice}")
        self.cause = error


@contextlib.contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Within this context the system's refusal to write `path` is a DiskError, which says the cause in one line."""
    try:
        yield
    except OSError as error:
        raise DiskError(path, error) from error


def write_durably(path: Path, data: Payload, *, mode: int = 0o666) -> str:
    """Replace `path` by `data` and return its SHA-256 (hex).

    Whoever reads `path` sees the old content or the new one, never a part, also after a kill or a power cut.

    Raises:
        DiskError: the disk is full, or failed.
    """
    temporary = _temporary_of(path)
    with disk_errors(path):
        try:
            file = open(temporary, "x+b", opener=lambda name, flags: os.open(name, flags, mode))
            with file:
                digest = write_payload(file, data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the disk that refused to write may refuse this too: the first counts
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    return digest


class Room:
    """Space on the disk for one more version of a small file, taken while there is some.

    It lies beside the file, under such a name as `write_durably` uses. `fill` asks the disk for no more than that, but
    on btrfs and ZFS, which overwrite nothing in place.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._taken = _temporary_of(path)
        with disk_errors(path):
            try:
                self._taken.write_bytes(os.urandom(size))  # zeros might take no space
            except BaseException:
                self.release()
                raise

    def fill(self, data: bytes) -> None:
        """Replace the file by `data` in this space, as `write_durably` does; the space is used up then.

        Raises:
            DiskError: the disk failed, or `data` is larger than the space and the disk is full.
        """
        with disk_errors(self._path):
            try:
                with self._taken.open("r+b") as file:
                    file.write(data)
                    file.truncate()
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(self._taken, self._path)
            except BaseException:
                self.release()
                raise
            sync_directory(self._path.parent)

    def release(self) -> None:
        """Give the space back, if it is still there."""
        with contextlib.suppress(OSError):
            self._taken.unlink(missing_ok=True)


def write_payload(file: BinaryIO, data: Payload) -> str:
    """Write `data` to an empty file that is open for reading too; the SHA-256 (hex) of it.

    Pieces are hashed as they are written. What a function wrote is read again: it may have gone back in the file.
    """
    if callable(data):
        data(file)
        file.seek(0)
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    if isinstance(data, bytes):
        file.write(data)
        return hashlib.sha256(data).hexdigest()
    return write_unbuffered(file.fileno(), data)


def _temporary_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def file_sha256(path: Path) -> str:
    """The SHA-256 (hex) of a file's content; a UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def remove_temporaries(directory: Path) -> list[Path]:
    """Delete what killed calls of `write_durably` left in `directory`, and return it; nobody may be writing there."""
    found = sorted(path for path in directory.glob(".*.tmp") if _TEMPORARY.fullmatch(path.name) and path.is_file())
    for path in found:
        remove_file(path)
    return found


def remove_file(path: Path) -> None:
    """Delete `path`, if it is there; a DiskError if the disk refuses."""
    with disk_errors(path):
        path.unlink(missing_ok=True)


def make_directory(directory: Path) -> None:
    """Make `directory` and those above it that are missing; their names survive a power cut."""
    if directory.is_dir():
        return
    with disk_errors(directory):
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        for path in reversed(missing):
            sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make the content of `path` durable, and its name."""
    with disk_errors(path):
        with path.open("r+b") as file:
            os.fsync(file.fileno())
        sync_directory(path.parent)


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

    The file is made by the first row. What a kill left of a half-written last row is removed before that. A row that
    a full disk refuses is a DiskError, and no part of it stays.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self.path = path
        self.sync = sync
        self._file: BinaryIO | None = None

    def append(self, row: Mapping[str, object]) -> None:
        """Write one row."""
        line = strict_json(row) + b"\n"
        with disk_errors(self.path):
            if self._file is None:
                self._file = self._open()
            append_whole(self._file, line, sync=self.sync)

    def flush_to_disk(self) -> None:
        """Make the rows so far durable, also without `sync`."""
        if self._file is not None:
            sync_file(self.path)

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        is_new = not self.path.exists()
        file = cast(BinaryIO, open(self.path, "a+b", buffering=0))  # a buffer would try to write a refused row again
        try:
            _mend_last_line(file)
            if is_new and self.sync:
                sync_directory(self.path.parent)
        except BaseException:
            file.close()
            raise
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def append_whole(file: BinaryIO, data: bytes, *, sync: bool = False) -> None:
    """Write `data` at the end of an unbuffered file; if that fails, the file ends where it did."""
    end = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        if sync:
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            file.truncate(end)
        raise


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

    A missing file has no rows. A broken line elsewhere is a UserError that names it.
    """
    *lines, last = _content(path).split(b"\n")
    return _parse_rows(path, lines, last)


def cut_rows(path: Path, num_rows: int | None = None) -> list[dict[str, Any]]:
    """The first `num_rows` rows of a JSON-lines file (None: all), which from now on has no others, durably.

    They are fewer where the file has fewer. What is dropped may be damaged; a broken line before is a UserError.
    """
    content = _content(path)
    *lines, last = content.split(b"\n")
    if num_rows is not None and num_rows <= len(lines):
        lines, last = lines[:num_rows], b""
    rows = _parse_rows(path, lines, last)
    kept = b"".join(line + b"\n" for line in [*lines, last][: len(rows)])
    if kept != content:
        write_durably(path, kept)
    return rows


def _content(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _parse_rows(path: Path, lines: list[bytes], last: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        row = _parse_row(line)
        if row is None:
            raise UserError(f"{path}, line {number}: not a JSON object: {line[:60]!r}")
        rows.append(row)
    row = _parse_row(last)
    return rows if row is None else [*rows, row]


def _parse_row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], row) if isinstance(row, dict) else None
