"""Every run in a results directory, known from `.index.sqlite` beside them as long as their files do not change.

The index is a copy: it is rebuilt from the directories when it is missing, damaged, or from another version, and where
it cannot be written, every look reads the directories anew. Nothing here is ever waited for by a training.
"""

import contextlib
import gc
import json
import os
import re
import sqlite3
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from .notes import FILE_NAME as NOTES
from .summary import RunSummary, summarize

FILE_NAME = ".index.sqlite"
RUN_ID = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2}_[0-9a-f]{4}")
_MEANING = 1
"""Raise it when a summary means something else than before under the same names."""
_FIELDS = [each.name for each in fields(RunSummary)][1:]
_VERSION = zlib.crc32(f"{_MEANING} {_FIELDS}".encode()) & 0x7FFFFFFF
_TIMEOUT_SECONDS = 5.0
_CHUNK = 500
"""Rows between commits, so that a first look that is cut short has not been in vain."""

_UNKNOWN = ("", "")


def read_index(results_dir: Path) -> list[RunSummary]:
    """All runs below `results_dir`, oldest first."""
    with _collector_paused():
        runs = _read(results_dir)
    return sorted(map(as_it_is_now, runs), key=lambda run: (run.started, run.id))


def _read(results_dir: Path) -> list[RunSummary]:
    root = len(str(results_dir)) + 1
    with _Index(results_dir / FILE_NAME) as index:
        known = index.rows()
        runs: list[RunSummary] = []
        for path in run_paths(results_dir):
            key, stamp = os.fsencode(path[root:]), _stamp(path)
            old_stamp, values = known.pop(key, _UNKNOWN)
            run = _summary(path, values) if old_stamp == stamp else None
            if run is None:
                run = summarize(Path(path))
                index.put(key, stamp, run)
            runs.append(run)
        index.forget(known)
    return runs


@contextlib.contextmanager
def _collector_paused() -> Generator[None]:
    """Many thousand new objects, none of them garbage, would make Python look through them again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def as_it_is_now(run: RunSummary) -> RunSummary:
    """The same, `killed` where it says running and no process holds it."""
    if run.status != "running":
        return run
    from ..lock import is_locked

    return run if is_locked(run.path) else replace(run, status="killed")


def run_paths(results_dir: Path) -> Iterator[str]:
    """The directory of every run below `results_dir`: what is named as one, and what has a run.json.

    Links to other folders are not followed, unless they are named like a run.
    """
    yield from _runs_below(str(results_dir))


def _runs_below(directory: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    if any(entry.name == "run.json" for entry in entries):
        yield directory
        return
    for entry in entries:
        if RUN_ID.fullmatch(entry.name):
            if entry.is_dir():
                yield entry.path
        elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _runs_below(entry.path)


def _stamp(path: str) -> str:
    """What changes with the files a summary is made of; two of them are replaced, one is appended to."""
    record, history, notes = (_stat(f"{path}/{name}") for name in ("run.json", "history.jsonl", NOTES))
    return f"{record} {history} {notes}"


def _stat(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "-"
    return f"{found.st_ino}:{found.st_mtime_ns}:{found.st_size}"


def _summary(path: str, values: str) -> RunSummary | None:
    """The summary that `values` hold; None where somebody has put something else there."""
    try:
        return RunSummary(Path(path), *json.loads(values))
    except (TypeError, ValueError):
        return None


class _Index:
    """The file that remembers summaries; where it cannot be used, it remembers nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = self._opened()
        self._waiting: list[tuple[bytes, str, str]] = []

    def rows(self) -> dict[bytes, tuple[str, str]]:
        """The stamp and the values of each summary, by the run's path below the results directory."""
        if self._connection is None:
            return {}
        try:
            return {
                key: (stamp, values)
                for key, stamp, values in self._connection.execute("SELECT path, stamp, summary FROM runs")
            }
        except sqlite3.Error as error:
            self._close()
            self._connection = self._start_again() if _is_damage(error) else None
            return {}

    def put(self, key: bytes, stamp: str, run: RunSummary) -> None:
        """Remember a summary, soon."""
        self._waiting.append((key, stamp, json.dumps([getattr(run, name) for name in _FIELDS])))
        if len(self._waiting) == _CHUNK:
            self._flush()

    def forget(self, keys: Iterable[bytes]) -> None:
        """Runs that are no longer there."""
        self._write("DELETE FROM runs WHERE path = ?", [(key,) for key in keys])

    def _flush(self) -> None:
        self._write("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", self._waiting)
        self._waiting = []

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if self._connection is None or not rows:
            return
        try:
            with self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.Error:  # read-only, full, or held by another: the next look reads those directories again
            self._close()

    def _opened(self) -> sqlite3.Connection | None:
        if not self.path.parent.is_dir():
            return None
        try:
            return _connected(self.path)
        except sqlite3.Error as error:
            return self._start_again() if _is_damage(error) else None

    def _start_again(self) -> sqlite3.Connection | None:
        """A new file in the place of a damaged one, where that can be."""
        with contextlib.suppress(OSError, sqlite3.Error):
            self.path.unlink()
            return _connected(self.path)
        return None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._close()


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, and not the right to use it: it may be locked, read-only, or on a full disk."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # Python itself: what it read is no text
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connected(path: Path) -> sqlite3.Connection:
    """The file with a table that has our columns, whatever was in it."""
    connection = sqlite3.connect(path, timeout=_TIMEOUT_SECONDS)
    try:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("DROP TABLE IF EXISTS runs")
                connection.execute("CREATE TABLE runs (path PRIMARY KEY, stamp, summary)")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
