"""One process at a time writes in a run directory; the kernel frees the lock of a process that dies."""

import contextlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labwright.args.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.02
"""Whoever only looks (`is_locked`) has the lock for a moment, too: it is asked for more than once."""

_descriptors: set[int] = set()
"""Of this process' locks. A forked child has copies of them, and each would keep a lock alive beyond its owner."""


class RunIsBusy(UserError):
    """Another process has the run."""


class RunLock:
    """The right to write in a run directory, until `release` or the end of the process.

    It lies on the directory itself (`flock`): there is no file that could be left over, and it moves with the
    directory. Child processes do not share it.
    """

    def __init__(self, descriptor: int | None, problem: str | None = None) -> None:
        self._descriptor = descriptor
        self.problem = problem
        """Why this system could not lock it, so that nothing keeps a second process out; None: it is locked."""

    @classmethod
    def take(cls, run_dir: Path) -> Self:
        """The lock of `run_dir`, at once.

        Raises:
            RunIsBusy: another process has it.
            UserError: the directory cannot be opened.
        """
        if fcntl is None:
            return cls(None, "this system has no locks: do not resume a run that is still running")
        descriptor = _opened(run_dir)
        try:
            _flock(descriptor, fcntl.LOCK_EX, _ATTEMPTS)
        except BlockingIOError:
            _close(descriptor)
            raise RunIsBusy(f"{run_dir.name} is running ({_holder(run_dir)}); wait for it or stop it") from None
        except OSError as error:
            _close(descriptor)
            reason = error.strerror or str(error)
            return cls(
                None, f"the file system of {run_dir} has no locks ({reason}): do not resume a run that is still running"
            )
        return cls(descriptor)

    def release(self) -> None:
        """Let others have the run; a second time does nothing."""
        if self._descriptor is not None and self._descriptor in _descriptors:  # not in a forked child: there it is gone
            _close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(run_dir: Path) -> bool:
    """Whether a process is at work in `run_dir`; False where that cannot be known."""
    if fcntl is None:
        return False
    try:
        descriptor = _opened(run_dir)
    except UserError:
        return False
    try:
        _flock(descriptor, fcntl.LOCK_SH, attempts=1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        _close(descriptor)
    return False


def _opened(run_dir: Path) -> int:
    try:
        descriptor = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f"{run_dir} cannot be opened: {error.strerror}") from error
    _descriptors.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    _descriptors.discard(descriptor)
    os.close(descriptor)


def _flock(descriptor: int, kind: int, attempts: int) -> None:
    """Lock, or raise: BlockingIOError where others have it, another OSError where there are no locks."""
    assert fcntl is not None
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            attempts -= 1
            if not attempts:
                raise
        time.sleep(_PAUSE_SECONDS)


def _holder(run_dir: Path) -> str:
    """Who has the run, as far as its run.json says."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        host: dict[str, Any] = json.loads((run_dir / "run.json").read_bytes())["host"]
        return f"process {host['pid']} on {host['hostname']}"
    return "another process has its lock"


def _close_all() -> None:
    """Let go of the copies of a parent's descriptors; its locks stay its own."""
    for descriptor in tuple(_descriptors):
        with contextlib.suppress(OSError):
            _close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)
