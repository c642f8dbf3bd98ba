"""Signals that ask a run to stop: heard at once, honoured where nothing is lost by it."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from labwright.args.errors import Terminated

GRACE_SECONDS = 20.0
"""How long the end of a step is waited for; schedulers kill what has not ended some 30 seconds after their signal."""
WANTED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""What ends a run."""


class StopRequest:
    """Whether a signal has asked to stop.

    Within `deferred` the first signal only leaves word of it, for `raise_if_asked` to end the run where a step ends;
    a second one, or the end of the grace period, ends it on the spot. Elsewhere each signal does.
    """

    echo_seconds = 0.1
    """The same signal within this time is the same wish: a wrapper handed on what the terminal had sent to all."""

    tells: bool = True
    """Whether a signal that was heard is a line on the terminal."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_orderly = False
        """Whether the run is being ended by `raise_if_asked`, and not in the middle of anything."""
        self._heard_at = 0.0
        self._is_deferred = False
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that ends itself by `raise_if_asked`; at its end the request is honoured at the latest."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
            self.settle()
        self.raise_if_asked()

    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def settle(self) -> None:
        """The step has ended: what is done now may take its time."""
        if self._timer is not None:
            self._timer.cancel()

    def raise_if_asked(self) -> None:
        """End the run if a signal asked for it."""
        if self.number is not None:
            self.is_orderly = True
            raise interruption(self.number)

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        now = time.monotonic()
        if number == self.number and now - self._heard_at < self.echo_seconds:
            return
        self._heard_at = now
        if not self._is_deferred or self.number is not None:
            self.number = number
            raise interruption(number)
        self.number = number
        # Not print(): a handler may run in the middle of one.
        with contextlib.suppress(OSError):
            if self.tells:
                text = f"\n{self.told_of(number)}\n"
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
        main = threading.main_thread().ident
        self._timer = threading.Timer(GRACE_SECONDS, signal.pthread_kill, [main, number])
        self._timer.daemon = True
        self._timer.start()

    def told_of(self, number: int) -> str:
        """The line on the terminal."""
        return f"{signal.Signals(number).name}: stopping after this step"

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within this block the signals are heard here; what is ignored stays so, as nohup wants it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in WANTED if signal.getsignal(number) != signal.SIG_IGN}
        for number in before:
            signal.signal(number, self.hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def interruption(number: int) -> BaseException:
    """What a signal is raised as: Ctrl-C as Python does, all others as `Terminated`."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
