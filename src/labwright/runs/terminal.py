"""What a person sees while a run is on: lines that stay, and a bar while an epoch lasts."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from .log import LogFile

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
PLAIN_INTERVAL_SECONDS = 5.0


class Terminal:
    """Lines and progress on a stream (stderr); the lines also in log.txt once there is one.

    `stream` None shows nothing, as when an experiment is run from Python.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self.stream = stream
        self.quiet = quiet
        self.has_told = False
        """Whether the run has said why it ended."""
        self._log: LogFile | None = None
        self._early: list[str] = []

    def attach(self, log: LogFile) -> None:
        """Copy what was shown so far, and all that follows, to `log`."""
        self._log = log
        for line in self._early:
            log.write(f"{line}\n")
        self._early.clear()

    def line(self, text: str) -> None:
        """A line that stays."""
        self.note(text)
        if not self.quiet:
            self._show(text)

    def warn(self, text: str) -> None:
        """A warning, shown even when quiet."""
        self.note(f"warning: {text}")
        self._show(f"warning: {text}", colour="33")

    def error(self, text: str) -> None:
        """What went wrong, shown even when quiet."""
        self.note(text)
        self._show(text, colour="31")

    def note(self, text: str) -> None:
        """A line for log.txt alone."""
        if self._log is not None:
            self._log.write(f"{text}\n")
        else:
            self._early.append(text)

    def _show(self, text: str, colour: str = "") -> None:
        if self.stream is None:
            return
        try:
            if not self.stream.isatty():
                print(text, file=self.stream, flush=True)
                return
            from tqdm import tqdm

            tqdm.write(f"\x1b[1;{colour}m{text}\x1b[0m" if colour else text, file=self.stream)  # above the bar, if any
        except OSError:  # the terminal was closed: the run goes on, and log.txt has the rest
            self.stream = None

    def progress(self, batches: Iterable[T], *, total: int | None, title: str) -> "Progress[T]":
        """`batches`, shown as they pass: a bar on a terminal, a line every few seconds elsewhere."""
        return Progress(batches, total=total, title=title, stream=None if self.quiet else self.stream)


class Progress(Iterable[T]):
    """Batches with a bar; set `status` to say what stands beside it."""

    def __init__(self, batches: Iterable[T], *, total: int | None, title: str, stream: TextIO | None) -> None:
        self.status = ""
        self._batches = batches
        self._total = total
        self._title = title
        self._stream = stream
        self._bar: tqdm[Any] | None = None

    def close(self) -> None:
        """Take the bar away, when the batches are not all going to pass."""
        if self._bar is not None:
            self._bar.close()

    def __iter__(self) -> Iterator[T]:
        if self._stream is None:
            return iter(self._batches)
        return self._with_bar(self._stream) if self._stream.isatty() else self._plain(self._stream)

    def _with_bar(self, stream: TextIO) -> Iterator[T]:
        from tqdm import tqdm

        bar = self._bar = tqdm(
            total=self._total,
            desc=self._title,
            unit="batch",
            file=stream,
            leave=False,
            mininterval=0.1,
            dynamic_ncols=True,
        )
        with bar:
            for batch in self._batches:
                yield batch
                bar.postfix = self.status
                bar.update()

    def _plain(self, stream: TextIO) -> Iterator[T]:
        due = time.monotonic() + PLAIN_INTERVAL_SECONDS
        for number, batch in enumerate(self._batches, start=1):
            yield batch
            if time.monotonic() >= due:
                place = f"{number}/{self._total}" if self._total else f"{number}"
                line = f"{self._title}: batch {place} {self.status}".rstrip()
                with contextlib.suppress(OSError):  # nobody is looking any more
                    print(line, file=stream, flush=True)
                due = time.monotonic() + PLAIN_INTERVAL_SECONDS
