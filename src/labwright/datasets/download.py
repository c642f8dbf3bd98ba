"""Downloads a published file: mirrors in order, resumed, checked, and there only when it is whole."""

import hashlib
import http.client
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from labwright.args import UserError

_CHUNK = 1 << 16


class DownloadError(UserError):
    """No mirror gave the file."""


class _MirrorError(Exception):
    """This mirror did not give the file; the next one may."""


def download(
    urls: Sequence[str],
    path: Path,
    *,
    sha256: str,
    progress: bool = True,
    connect_seconds: float = 10.0,
    patience_seconds: float = 15.0,
    max_bytes: int = 1 << 30,
) -> None:
    """Puts the file with this SHA-256 at `path`, from the first mirror that has it; a DownloadError otherwise.

    What a broken connection left in `<path>.part` is continued, by the next mirror or the next call. All mirrors
    together have `patience_seconds` to answer at all, and each read has `connect_seconds`. Mirrors are https
    (or http on this machine).
    """
    patience = _Patience(connect_seconds, patience_seconds)
    part = path.with_name(path.name + ".part")
    failures: list[str] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            if path.exists():  # another process was faster
                return
            for url in urls:
                try:
                    _complete(url, part, sha256, patience, progress=progress, max_bytes=max_bytes)
                    os.replace(part, path)
                    return
                except _MirrorError as error:
                    failures.append(f"{urlsplit(url).hostname}: {error}")
    except OSError as error:
        raise DownloadError(f"cannot write {error.filename or path}: {error.strerror or error}") from error
    raise DownloadError(f"cannot download {path.name} ({'; '.join(failures)})")


@dataclass
class _Patience:
    """How long to wait for one mirror, and how much waiting is left for all."""

    connect_seconds: float
    left: float


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Waits until no other process downloads into the directory. Where it cannot be locked (Windows), nobody waits."""
    lock = _lock(directory)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(directory: Path) -> int | None:
    try:
        import fcntl

        lock = os.open(directory, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _complete(url: str, part: Path, sha256: str, patience: _Patience, *, progress: bool, max_bytes: int) -> None:
    """Makes `part` the published file, from one mirror. A part that led to something else is not continued twice."""
    was_continued = part.exists()
    _fetch(url, part, patience, progress=progress, max_bytes=max_bytes)
    if was_continued and not _has_checksum(part, sha256):
        part.unlink()
        _fetch(url, part, patience, progress=progress, max_bytes=max_bytes)
    if not _has_checksum(part, sha256):
        part.unlink()
        raise _MirrorError("what came is not the published file (its SHA-256 differs)")


def _has_checksum(part: Path, sha256: str) -> bool:
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _fetch(url: str, part: Path, patience: _Patience, *, progress: bool, max_bytes: int) -> None:
    """Adds to `part` what it lacks. A part that the mirror cannot continue is started afresh."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "labwright", "Accept-Encoding": "identity"}
    try:
        response = _open(Request(url, headers=headers | ({"Range": f"bytes={have}-"} if have else {})), patience)
    except HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
        return  # nothing follows what we have: the checksum says whether it is the file
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _MirrorError("it continues the file at another place than asked")
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        _receive(response, part, have=have, total=total, progress=progress, max_bytes=max_bytes)


def _open(request: Request, patience: _Patience) -> Any:
    """The response, in time: urlopen's own timeout does not cover the search for the host's address."""
    _refuse_unsafe(request.full_url)
    seconds = min(patience.connect_seconds, patience.left)
    if seconds <= 0:
        raise _MirrorError("not tried, the time to wait for answers is over")
    outcomes: queue.Queue[Any] = queue.Queue()

    def attempt() -> None:
        try:
            outcomes.put(urlopen(request, timeout=patience.connect_seconds))
        except Exception as error:
            outcomes.put(error)

    started = time.monotonic()
    threading.Thread(target=attempt, daemon=True).start()
    try:
        outcome = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise _MirrorError(f"no answer in {seconds:.0f} s") from None
    finally:
        patience.left -= time.monotonic() - started
    if isinstance(outcome, HTTPError):
        raise outcome
    if isinstance(outcome, Exception):
        raise _MirrorError(_reason(outcome)) from outcome
    try:
        _refuse_unsafe(outcome.url)  # where redirects led
    except _MirrorError:
        outcome.close()
        raise
    return outcome


def _refuse_unsafe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")):
        raise _MirrorError(f"{parts.scheme or 'no scheme'} instead of https")


def _receive(response: Any, part: Path, *, have: int, total: int | None, progress: bool, max_bytes: int) -> None:
    name = part.name.removesuffix(".part")
    bar = tqdm(
        desc=name,
        total=total,
        initial=have,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=None if progress else True,
    )
    with part.open("r+b" if have else "wb") as file, bar:
        file.seek(have)
        file.truncate()
        while chunk := _read_chunk(response):
            have += len(chunk)
            if have > max_bytes:
                raise _MirrorError(f"it sends more than {max_bytes:,} bytes")
            file.write(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _MirrorError(f"the connection ended after {have:,} of {total:,} bytes")


def _read_chunk(response: Any) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """An error in a few words, on one line."""
    cause = error.reason if isinstance(error, URLError) else error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return " ".join(text.split()) or type(cause).__name__
