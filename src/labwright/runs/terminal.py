"""What a person sees while a run is on: lines that stay, a bar while an epoch lasts, and a summary."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from .log import LogFile

T = TypeVar("T")
PLAIN_INTERVAL_SECONDS = 5.0


class Terminal:
    """Progress and notes on stderr, results on stdout, all of it in log.txt once there is one.

    `stream` None shows nothing, as when an experiment is run from Python.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self.stream = stream
        self.quiet = quiet
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
        self._note(text)
        if self.stream is not None and not self.quiet:
            print(text, file=self.stream, flush=True)

    def warn(self, text: str) -> None:
        """A line that is shown even when quiet."""
        self._note(f"warning: {text}")
        if self.stream is not None:
            bold, plain = ("\x1b[1;33m", "\x1b[0m") if self.stream.isatty() else ("", "")
            print(f"{bold}warning: {text}{plain}", file=self.stream, flush=True)

    def result(self, text: str) -> None:
        """What was asked for, on stdout."""
        self._note(text)
        if self.stream is not None and not self.quiet:
            print(text, file=sys.stdout, flush=True)

    def _note(self, text: str) -> None:
        if self._log is not None:
            self._log.write(f"{text}\n")
        else:
            self._early.append(text)

    def progress(self, batches: Iterable[T], *, total: int, title: str) -> "Progress[T]":
        """`batches`, shown as they pass: a bar on a terminal, a line every few seconds elsewhere."""
        return Progress(batches, total=total, title=title, stream=None if self.quiet else self.stream)


class Progress(Iterable[T]):
    """Batches with a bar; set `status` to say what stands beside it."""

    def __init__(self, batches: Iterable[T], *, total: int, title: str, stream: TextIO | None) -> None:
        self.status = ""
        self._batches = batches
        self._total = total
        self._title = title
        self._stream = stream

    def __iter__(self) -> Iterator[T]:
        if self._stream is None:
            return iter(self._batches)
        return self._bar(self._stream) if self._stream.isatty() else self._plain(self._stream)

    def _bar(self, stream: TextIO) -> Iterator[T]:
        from tqdm import tqdm

        bar = tqdm(
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
                if bar.update() and self.status:
                    bar.set_postfix_str(self.status, refresh=False)

    def _plain(self, stream: TextIO) -> Iterator[T]:
        due = time.monotonic() + PLAIN_INTERVAL_SECONDS
        for number, batch in enumerate(self._batches, start=1):
            yield batch
            if time.monotonic() >= due:
                print(f"{self._title}: batch {number}/{self._total} {self.status}".rstrip(), file=stream, flush=True)
                due = time.monotonic() + PLAIN_INTERVAL_SECONDS
