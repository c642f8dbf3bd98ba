"""Work that a thread of its own does, one thing at a time."""

import contextlib
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator

from .durable import Payload


class Abandoned(Exception):
    """The work was told to end before it was done."""


class Background:
    """Does what `begin` is given while the caller goes on; the thread is there only as long as the work is.

    What goes wrong there is raised here, by the next `begin` or `wait`. The thread hears no signals, and no process is
    forked while it is at work: a fork waits for it.
    """

    def __init__(self) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        """Called on the thread when its work has failed."""
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._is_abandoned = False
        _ALL.add(self)

    def begin(self, work: Callable[[], object]) -> None:
        """Have `work` done, after what was begun before it."""
        self.wait()
        thread = threading.Thread(target=self._do, args=(work,), name="labwright writer")
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            work()
        else:
            self._thread = thread

    def wait(self) -> None:
        """Until nothing is at work; raises what went wrong, once. On the thread itself: at once."""
        if self._thread is None or self._thread is threading.current_thread():
            return
        self.join()
        self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None and not isinstance(failure, Abandoned):
            raise failure

    def join(self) -> None:
        """Wait, and leave it to `wait` to raise what went wrong."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @property
    def has_failed(self) -> bool:
        """Whether something went wrong that nobody has heard of."""
        return self._failure is not None

    def abandon(self) -> None:
        """Have work that is written as `pieces` end with the one in hand."""
        self._is_abandoned = True

    def pieces(self, data: Payload) -> Payload:
        """`data`, of which no more comes after `abandon`."""
        return data if isinstance(data, bytes) or callable(data) else self._until_abandoned(data)

    def _until_abandoned(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for piece in pieces:
            if self._is_abandoned:
                raise Abandoned
            yield piece

    def _do(self, work: Callable[[], object]) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(0)  # the caller goes on first: it waits for this thread to have begun
        try:
            work()
        except BaseException as error:
            self._failure = error
            self.on_failure()


_ALL: "weakref.WeakSet[Background]" = weakref.WeakSet()


def _wait_for_all() -> None:
    """A forked process has this thread alone: what another one holds at that moment, it would hold for ever."""
    with _signals_held():  # what a handler raises in here would go unheard
        for background in list(_ALL):
            background.join()


@contextlib.contextmanager
def _signals_held() -> Generator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_all)
