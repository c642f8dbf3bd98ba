"""Real processes, signals and deaths; what the batches hold is in test_loaders."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children, get_context
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch.utils.data import get_worker_info

from labwright.args.errors import UserError
from labwright.train import Loader, build_loader, workers
from labwright.train.workers import BatchOverdue, WorkerDied

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


class Samples:
    """Twelve samples, as `make` makes them."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 12

    def __getitem__(self, position: int) -> Any:
        return {"input": self.make(position)}


def loader_of(make: Callable[[int], Any], num_workers: int = 2) -> Loader:
    return build_loader(Samples(make), 2, shuffle=False, seed=0, num_workers=num_workers, source="train")


def pid_of_worker(position: int) -> int:
    return os.getpid()


def pids(loader: Loader) -> list[int]:
    """Of its two workers, which have then all to do what they will have."""
    return list(dict.fromkeys(pid for batch in loader for pid in batch["input"].tolist()))


def stuck(position: int) -> int:
    if position >= 4:
        time.sleep(600)
    return os.getpid()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(pid: int, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "GRACE_SECONDS", 0.5)
    for process in active_children():  # of another test
        process.kill()
        process.join()
    yield
    for process in active_children():
        process.join(60)
    assert not active_children()


def test_a_closed_loader_leaves_no_process_and_can_start_again() -> None:
    loader = loader_of(pid_of_worker)
    loader.close()  # nothing has started yet
    first = pids(loader)
    assert len(active_children()) == 2 and pids(loader) == first, "workers outlast an epoch"
    loader.close()
    loader.close()
    assert not active_children()
    assert not set(pids(loader)) & set(first)
    batches = iter(loader)
    next(batches)
    loader.close()  # in the middle of an epoch that somebody still holds
    assert not active_children()


def test_workers_of_a_loader_that_was_forgotten_end() -> None:
    assert all(ended(pid) for pid in pids(loader_of(pid_of_worker)))


def test_an_iteration_that_another_has_overtaken_is_an_error() -> None:
    loader = loader_of(pid_of_worker)
    first = iter(loader)
    next(first)
    assert len(list(loader)) == 6
    with pytest.raises(RuntimeError, match="a new iteration over dataset 'train' has begun"):
        list(first)
    loader.close()


def test_datasets_are_told_that_they_are_in_a_worker() -> None:
    loader = loader_of(lambda position: get_worker_info().id)  # pyright: ignore[reportOptionalMemberAccess]
    assert [batch["input"].tolist() for batch in loader] == [[0, 0], [1, 1]] * 3
    assert get_worker_info() is None
    loader.close()


def broken(position: int) -> int:
    if position == 5:
        raise KeyError("broken sample")
    return position


def test_an_error_in_a_worker_keeps_its_type_its_traceback_and_names_the_samples() -> None:
    loader = loader_of(broken)
    batches = iter(loader)
    assert [next(batches)["input"].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="broken sample") as raised:
        next(batches)
    assert raised.value.__notes__ == ["in the batch of samples 4, 5 of dataset 'train'"]
    assert "in broken" in str(raised.value.__cause__), "the function that raised it"
    assert next(iter(loader))["input"].tolist() == [0, 1], "the workers are still there"
    loader.close()


class Stubborn(Exception):
    """An error that pickle can write and not read."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


def stubborn(position: int) -> int:
    raise Stubborn("a hole", "the data")


def user_error(position: int) -> int:
    raise UserError("labels.csv has no column 'age'")


def local_function(position: int) -> Any:
    return lambda: position


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (stubborn, RuntimeError, "Stubborn: a hole in the data"),
        (user_error, UserError, "^labels.csv has no column 'age'"),
        (local_function, Exception, "local_function.<locals>.<lambda>"),
    ],
)
def test_errors_and_batches_that_cannot_travel_are_said_in_words(
    make: Callable[[int], Any], kind: type[Exception], message: str
) -> None:
    loader = loader_of(make)
    with pytest.raises(kind, match=message):
        next(iter(loader))
    loader.close()


def killed(position: int) -> int:
    if position == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return position


def left(position: int) -> int:
    if position == 0:
        sys.exit(7)
    return position


@pytest.mark.parametrize(
    ("make", "how"),
    [(killed, "was killed by SIGKILL, most likely because memory ran out"), (left, "ended with exit code 7")],
)
def test_a_worker_that_dies_at_work_is_named(make: Callable[[int], Any], how: str) -> None:
    loader = loader_of(make)
    message = rf"^worker 0 of dataset 'train' \(process \d+\) {how}; resume the run, with --num_workers=0 if it happens"
    with pytest.raises(WorkerDied, match=message):
        list(loader)
    assert not active_children(), "the others end with it"
    loader.close()


def test_a_worker_that_dies_while_nobody_waits_for_it_is_an_error_at_the_next_batch() -> None:
    loader = loader_of(pid_of_worker)
    first, second = pids(loader)
    os.kill(second, signal.SIGKILL)
    assert ended(second)
    with pytest.raises(WorkerDied, match=rf"worker 1 of dataset 'train' \(process {second}\) was killed by SIGKILL"):
        list(loader)
    assert ended(first)
    assert len(pids(loader)) == 2, "the next iteration starts anew"
    loader.close()


def test_a_stuck_worker_does_not_keep_a_loader_from_closing() -> None:
    loader = loader_of(stuck)
    batches = iter(loader)
    next(batches)
    loader.close()  # which would take the ten minutes that the worker does
    assert not active_children()


def test_a_run_that_is_to_stop_does_not_wait_for_a_stuck_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE_SECONDS", 60)
    loader = loader_of(stuck)
    loader.should_stop = lambda: True
    batches = iter(loader)
    assert len([next(batches), next(batches)]) == 2, "what comes in time is delivered"
    monkeypatch.setattr(workers, "GRACE_SECONDS", 0.5)
    with pytest.raises(BatchOverdue, match=r"worker 0 of dataset 'train' .* has not delivered a batch"):
        next(batches)
    assert not active_children()


def test_an_interrupt_while_waiting_gets_through_and_the_workers_end() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code.co_filename != workers.__file__:
            frame = frame.f_back
        if frame is not None:  # it does wait
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.raise_signal(signal.SIGINT)

    loader = loader_of(stuck)
    batches = iter(loader)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(2):
            next(batches)
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        next(batches)
    assert not active_children()


def slow_and_random(position: int) -> float:
    time.sleep(0.05)
    return random.random()


def in_another_process(function: Callable[..., None], *arguments: Any) -> tuple[Any, Any]:
    """A process that runs `function(connection, *arguments)`, and our end of the connection."""
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(theirs, *arguments))
    process.start()
    theirs.close()
    return process, ours


def iterate_in_a_group_of_its_own(connection: Any) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    connection.send("ready")
    connection.send([batch["input"].tolist() for batch in loader_of(slow_and_random)])


def test_signals_to_the_whole_group_do_not_end_workers() -> None:
    """From before they start until they have nothing to do."""
    process, connection = in_another_process(iterate_in_a_group_of_its_own)
    assert connection.recv() == "ready"
    while not connection.poll(0.002):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            os.killpg(process.pid, number)
    expected = [batch["input"].tolist() for batch in loader_of(lambda _: random.random(), num_workers=0)]
    assert connection.recv() == expected
    process.join()
    assert process.exitcode == 0


def hold_a_loader(connection: Any, make: Callable[[int], int]) -> None:
    loader, other = loader_of(make), loader_of(pid_of_worker)
    batches = iter(loader)
    first = [next(batches)["input"][0].item() for _ in range(2)]
    connection.send(first + pids(other))
    time.sleep(600)


@pytest.mark.parametrize("make", [pid_of_worker, stuck])
def test_workers_do_not_outlive_a_killed_parent(make: Callable[[int], int]) -> None:
    process, connection = in_another_process(hold_a_loader, make)
    orphans = connection.recv()
    assert len(set(orphans)) == 4 and all(map(is_running, orphans))
    process.kill()
    process.join()
    assert all(ended(pid) for pid in orphans)


def test_a_forked_process_does_not_keep_workers_alive_and_has_workers_of_its_own() -> None:
    loader = loader_of(pid_of_worker)
    before = pids(loader)

    def iterate(connection: Any) -> None:
        connection.send(pids(loader))
        connection.recv()

    process, connection = in_another_process(iterate)
    assert not set(connection.recv()) & set(before)
    assert pids(loader) == before
    loader.close()
    assert all(ended(pid) for pid in before)
    connection.send("done")
    process.join()
    assert process.exitcode == 0


SCRIPT = """
import sys, time
import torch
from labwright.train import build_loader

class Samples:
    def __len__(self):
        return 8

    def __getitem__(self, position):
        if position >= 6:
            time.sleep(3600)
        return {"input": torch.rand(1)}

if __name__ == "__main__":
    torch.multiprocessing.set_start_method(sys.argv[1])
    batches = iter(build_loader(Samples(), 2, shuffle=False, seed=0, num_workers=2))
    print([next(batches)["input"].flatten().tolist() for _ in range(3)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_a_script_that_closes_nothing_ends_however_its_workers_were_started(tmp_path: Path, start_method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, start_method], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    expected = build_loader(Samples(lambda _: torch.rand(1)), 2, shuffle=False, seed=0)
    assert done.stdout.strip() == str(
        [batch["input"].flatten().tolist() for batch, _ in zip(expected, range(3), strict=False)]
    )


@pytest.mark.parametrize(
    "num_processors, num_ranks, method, expected",
    [(16, 1, None, 8), (4, 1, "fork", 3), (16, 4, None, 3), (1, 1, None, 0), (2, 4, None, 0), (16, 1, "spawn", 0)],
)
def test_usual_workers_leave_the_main_process_a_processor_and_share_with_other_ranks(
    monkeypatch: pytest.MonkeyPatch, num_processors: int, num_ranks: int, method: str | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(num_processors))
    monkeypatch.setattr(workers.multiprocessing, "get_start_method", lambda allow_none: method)
    monkeypatch.setattr(workers.multiprocessing, "get_all_start_methods", lambda: ["fork", "spawn"])
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(num_ranks))
    assert workers.usual_num_workers() == expected
