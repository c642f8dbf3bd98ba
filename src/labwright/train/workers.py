"""Processes that fetch batches, each in its turn.

They differ from those of torch's DataLoader in how they end, which is what a run that must lose nothing depends on:

- A signal to the whole process group (Ctrl-C, a scheduler's) does not end them: the main process decides what it means,
  and may need another batch before it does.
- They end when the main process does, or lets go of them, however that comes about, and at the latest
  `GRACE_SECONDS` later: nothing waits for one that is stuck.
- One that dies is an error that names it, raised where the main process asks for a batch and nowhere else.

Each worker has a connection of its own and there is no lock among them, so one that is killed leaves nothing locked.
"""

import os
import signal
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler  # torch taught it to pass tensors in shared memory
from multiprocessing.util import Finalize
from queue import SimpleQueue
from typing import Any, NamedTuple

import torch
from torch import multiprocessing
from torch.utils.data._utils import worker as torch_worker

from .worker_errors import BatchOverdue, WorkerDied

GRACE_SECONDS = 3.0
"""How long a worker that is to end, or a main process that is to stop, waits for the batch in hand."""
_PREFETCHED = 2  # batches each worker has in hand or done
_POLL_SECONDS = 0.5
_DYING_SECONDS = 5.0
"""How long one that let go of its connection may take to be gone, where many processes want the processor."""
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
_CAUSES = {
    "SIGKILL": ", most likely because memory ran out",
    "SIGBUS": ", most likely because shared memory (/dev/shm) is full",
    "SIGSEGV": ", a crash in native code",
}


@contextmanager
def one_thread() -> Generator[None]:
    """A block in which torch computes with one thread, as workers do: sums may depend on how many there are."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usual_num_workers() -> int:
    """How many workers suit this machine: its processors but one, at most 8, divided among the ranks on it.

    0 where processes are not forked: there a script must be written for it, and the dataset be one that travels.
    """
    start_method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if start_method != "fork":
        return 0
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(8, num_processors // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1))


class Workers:
    """Worker processes that call `fetch`, started at once; `dataset` is what errors call the dataset."""

    def __init__(self, fetch: Callable[[Any], Any], num_workers: int, dataset: str) -> None:
        self.should_stop: Callable[[], bool] = lambda: False
        """Asked while waiting; once it says yes, a batch that does not come in time is given up."""
        self._dataset = dataset
        self._owed: deque[_Worker] = deque()
        self._epochs = 0
        self._lock = threading.Lock()
        """Held while talking to the workers: a thread may still do so for an iteration that was left early."""
        self._seen_alive = time.monotonic()
        self._workers: list[_Worker] = []
        _ALL.add(self)
        # Or multiprocessing would wait, when this process ends, for workers that nobody told to.
        Finalize(self, _end, (self._workers,), exitpriority=1)
        with _signals_held():
            for number in range(num_workers):
                self._start(fetch, number, num_workers)

    def batches(self, tasks: Iterator[Any]) -> Iterator[Any]:
        """What `fetch` makes of each task, in order; meanwhile the workers are some batches ahead."""
        with self._conversation():
            self._epochs = epoch = self._epochs + 1
            while self._owed:  # by an epoch that was left early
                self._receive()
            turns = cycle(self._workers)
            for task, worker in zip(islice(tasks, _PREFETCHED * len(self._workers)), turns, strict=False):
                self._send(worker, task)
        while True:
            with self._conversation():
                if epoch != self._epochs:
                    break
                if not self._owed:
                    return
                batch, error = self._receive()
                for task in islice(tasks, 1):
                    self._send(next(turns), task)
            if error is not None:
                raise error[0] from _InWorker(error[1])
            yield batch
        raise RuntimeError(f"a new iteration over {self._dataset} has begun before this one had ended")

    def close(self) -> None:
        """End the processes: within `GRACE_SECONDS`, whatever they are doing. Nothing can be fetched any more."""
        _end(self._workers)
        self._owed.clear()

    @property
    def is_closed(self) -> bool:
        return not self._workers

    def _start(self, fetch: Callable[[Any], Any], number: int, num_workers: int) -> None:
        ours, theirs = multiprocessing.Pipe()
        arguments = (fetch, theirs, number, num_workers)
        process = multiprocessing.Process(target=_work, args=arguments, daemon=True, name=f"worker {number}")
        self._workers.append(_Worker(number, process, ours))
        try:
            process.start()
        except BaseException:
            self._workers.pop()
            self.close()
            raise
        theirs.close()  # the worker's own copy must be the only one, or its death would go unheard

    @contextmanager
    def _conversation(self) -> Iterator[None]:
        """A block that talks to the workers: one at a time, and one that is broken off cannot be taken up again."""
        try:
            with self._lock:
                yield
        except BaseException:
            self.close()
            raise

    def _send(self, worker: "_Worker", task: Any) -> None:
        try:
            worker.connection.send(task)
        except OSError:
            raise self._death(worker) from None
        self._owed.append(worker)

    def _receive(self) -> "_Answer":
        """The next answer."""
        worker = self._owed.popleft()
        try:
            self._wait(worker)
            return worker.connection.recv()
        except EOFError:
            raise self._death(worker) from None
        except OSError:  # the tensors of an answer come by a connection of their own, from a worker that is there
            worker.process.join(_DYING_SECONDS)
            if worker.process.is_alive():
                raise
            raise self._death(worker) from None

    def _wait(self, worker: "_Worker") -> None:
        """Until an answer begins."""
        asked = None
        self._require_alive()
        while not worker.connection.poll(_POLL_SECONDS):
            self._require_alive()
            if self.should_stop():
                asked = asked or time.monotonic()
                if time.monotonic() - asked > GRACE_SECONDS:
                    raise BatchOverdue(f"{self._name(worker)} has not delivered a batch, and the run is to stop")

    def _require_alive(self) -> None:
        """Once a second, since even asking takes time: a death is not to wait for its worker's next turn."""
        now = time.monotonic()
        if now - self._seen_alive < 1:
            return
        self._seen_alive = now
        for worker in self._workers:
            if not worker.process.is_alive():
                raise self._death(worker)

    def _death(self, worker: "_Worker") -> WorkerDied:
        worker.process.join(_DYING_SECONDS)
        code = worker.process.exitcode
        names = {-number.value: number.name for number in signal.Signals}
        if code is None:
            how = "has gone"
        elif code >= 0:
            how = f"ended with exit code {code}"
        else:
            cause = names.get(code, f"signal {-code}")
            how = f"was killed by {cause}{_CAUSES.get(cause, '')}"
        return WorkerDied(f"{self._name(worker)} {how}; resume the run, with --num_workers=0 if it happens again")

    def _name(self, worker: "_Worker") -> str:
        return f"worker {worker.number} of {self._dataset} (process {worker.process.pid})"


class _Worker(NamedTuple):
    number: int
    process: BaseProcess
    connection: Any


_Answer = tuple[Any, tuple[Exception, str] | None]
"""A batch, or an error and its traceback."""

_ALL: "weakref.WeakSet[Workers]" = weakref.WeakSet()


def _end(workers: "list[_Worker]") -> None:
    for worker in workers:
        worker.connection.close()
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.join()
    workers.clear()


def _forget_all() -> None:
    """A forked process holds no end of a connection: workers are to hear it when the one that started them is gone."""
    for workers in list(_ALL):
        for worker in workers._workers:
            worker.connection.close()
        workers._workers.clear()  # nor are they its children


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal waits until after the block; a process started inside begins with that, and cannot die of one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(fetch: Callable[[Any], Any], connection: Any, number: int, num_workers: int) -> None:
    """The life of a worker."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    torch.set_num_threads(1)
    # What torch.utils.data.get_worker_info() says; default_collate then stacks in shared memory right away.
    dataset: Any = getattr(fetch, "dataset", None)
    torch_worker._worker_info = torch_worker.WorkerInfo(id=number, num_workers=num_workers, seed=0, dataset=dataset)
    tasks: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    while (task := tasks.get()) is not None:
        answer = _answer(fetch, task)
        try:
            connection.send_bytes(answer)
        except OSError:
            return  # nobody listens any more


def _listen(connection: Any, tasks: "SimpleQueue[Any]") -> None:
    """Take tasks at once, so that the main process never waits to hand one out, and hear it when that has gone."""
    with suppress(EOFError, OSError):
        while True:
            tasks.put(connection.recv())
    tasks.put(None)
    time.sleep(GRACE_SECONDS)
    os._exit(1)  # stuck in a task


def _answer(fetch: Callable[[Any], Any], task: Any) -> Any:
    try:
        return ForkingPickler.dumps((fetch(task), None))
    except Exception as error:
        return ForkingPickler.dumps((None, (_portable(error), traceback.format_exc())))


def _portable(error: Exception) -> Exception:
    """The error, or where that cannot travel one that says the same."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))  # pyright: ignore[reportAttributeAccessIssue]
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _InWorker(Exception):
    """Where in a worker it happened: its traceback, as text."""

    def __str__(self) -> str:
        return f"in a worker process:\n{self.args[0]}"
