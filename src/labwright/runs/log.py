"""log.txt: what the terminal showed, plainly."""

import contextlib
import re
import sys
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO, cast

from .durable import DiskError, append_whole, disk_errors
from .redaction import redact_text

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor moves
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[ -/]*[0-~]"  # the rest
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class LogFile:
    """A text file of whole lines, without colours, secrets and progress bars.

    Text may come in pieces. Of a line that was overwritten by carriage returns, only what was left at its end counts.
    A line that the disk refuses is lost, and no run is: see `failure`.
    """

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        self.failure: DiskError | None = None
        """Why the first line that was lost was lost."""
        self._path = path
        with disk_errors(path):
            self._file = cast(BinaryIO, open(path, "ab", buffering=0))
        self._secrets = tuple(secrets)
        self._pending = ""
        self._lock = threading.Lock()  # progress bars and trackers write from threads of their own

    def write(self, text: str) -> None:
        """Add text; complete lines go to the file at once. After `close` nothing is added."""
        with self._lock:
            if self._file.closed:  # a logging handler made during the run may still hold a stream copied here
                return
            *lines, pending = (self._pending + text).split("\n")
            for line in lines:
                self._write_line(line)
            # The newest frame is enough. A carriage return at the very end may belong to a newline still to come.
            self._pending = pending[pending.rfind("\r", 0, -1) + 1 :]

    def close(self) -> None:
        """Write what is left of an unfinished line and close the file."""
        with self._lock:
            if self._file.closed:
                return
            if self._pending.strip():
                self._write_line(self._pending)
            self._pending = ""
            with self._noting_failure():  # network file systems tell only now
                self._file.close()

    def _write_line(self, line: str) -> None:
        shown = line.rstrip("\r").rpartition("\r")[2]
        plain = _CONTROLS.sub("", _ESCAPES.sub("", shown))
        text = redact_text(plain, self._secrets).rstrip() + "\n"
        with self._noting_failure():
            append_whole(self._file, text.encode("utf-8", "backslashreplace"))

    @contextlib.contextmanager
    def _noting_failure(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or DiskError(self._path, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Tee:
    """A stream whose text goes to a log too."""

    def __init__(self, stream: TextIO, log: LogFile) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def copied_to(log: LogFile) -> Generator[None]:
    """Within this context, what is printed to stdout and stderr is copied to `log`."""
    stdout: Any = _Tee(sys.stdout, log)
    stderr: Any = _Tee(sys.stderr, log)
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        yield
