"""One process at a time has a run, and none that is dead."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.runs import lock as lock_module
from labwright.runs.lock import RunIsBusy, RunLock, is_locked

HOLD = """
import os, sys, time
from pathlib import Path
from labwright.runs.lock import RunIsBusy, RunLock

sys.stdin.readline()
try:
    lock = RunLock.take(Path(sys.argv[1]))
except RunIsBusy:
    print("busy", flush=True)
    sys.exit()
if "forked" in sys.argv:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
else:
    print("has it", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "2026-01-31_12-00-00_ab12"
    path.mkdir()
    return path


class Holders:
    """Processes that take a lock when they are told to, and keep it."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, run: Path, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(run), *words]
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return self.processes[-1]

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


@pytest.fixture
def holders() -> Iterator[Holders]:
    found = Holders()
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_processes_that_race_exactly_one_gets_the_run(run: Path, holders: Holders) -> None:
    racing = [holders.start(run) for _ in range(4)]
    for process in racing:
        holders.go(process)
    assert sorted(map(line, racing)) == ["busy", "busy", "busy", "has it"]


def test_a_killed_holder_frees_the_run_at_once(run: Path, holders: Holders) -> None:
    process = holders.start(run)
    holders.go(process)
    assert line(process) == "has it"
    assert is_locked(run)
    process.kill()
    process.wait()
    assert not is_locked(run)
    RunLock.take(run).release()


def test_a_forked_child_that_lives_on_does_not_keep_the_run_of_its_killed_parent(run: Path, holders: Holders) -> None:
    process = holders.start(run, "forked")
    holders.go(process)
    child = int(line(process))
    try:
        with pytest.raises(RunIsBusy):
            RunLock.take(run)
        process.kill()
        process.wait()
        os.kill(child, 0)  # it is there
        RunLock.take(run).release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_that_lets_go_leaves_the_run_to_its_parent(run: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from labwright.runs.lock import RunLock, is_locked

with RunLock.take(Path(sys.argv[1])) as lock:
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    print(is_locked(Path(sys.argv[1])))
"""
    result = subprocess.run([sys.executable, "-c", program, str(run)], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"


def test_who_has_the_run_is_named(run: Path) -> None:
    (run / "run.json").write_text(json.dumps({"host": {"pid": 4711, "hostname": "gpu3"}}))
    with RunLock.take(run):
        with pytest.raises(RunIsBusy, match=rf"{run.name} is running \(process 4711 on gpu3\); wait for it or stop it"):
            RunLock.take(run)
    assert not is_locked(run)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": null}', '{"host": {"pid": 1}}'])
def test_a_record_that_does_not_tell_who_it_is_hides_nothing(run: Path, content: str) -> None:
    (run / "run.json").write_text(content)
    with RunLock.take(run), pytest.raises(RunIsBusy, match="another process has its lock"):
        RunLock.take(run)


def test_the_lock_moves_with_its_directory_and_leaves_no_file(run: Path, tmp_path: Path) -> None:
    with RunLock.take(run):
        moved = run.rename(tmp_path / "größe mit leerzeichen")
        assert is_locked(moved)
        assert not list(moved.iterdir())


def test_a_released_lock_is_free_and_releasing_twice_is_no_matter(run: Path) -> None:
    first = RunLock.take(run)
    first.release()
    with RunLock.take(run):
        first.release()
        assert is_locked(run)


def test_whoever_only_looks_does_not_make_the_run_busy(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([BlockingIOError(errno.EWOULDBLOCK, "looking"), None])

    def flock(descriptor: int, kind: int) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    assert lock_module.fcntl is not None
    monkeypatch.setattr(lock_module.fcntl, "flock", flock)
    assert RunLock.take(run).problem is None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EBADF])
def test_a_file_system_without_locks_is_told_and_the_run_goes_on(
    run: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(descriptor: int, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    assert lock_module.fcntl is not None
    monkeypatch.setattr(lock_module.fcntl, "flock", flock)
    with RunLock.take(run) as lock:
        assert lock.problem is not None and "has no locks" in lock.problem and os.strerror(number) in lock.problem
        assert not is_locked(run)


def test_a_system_without_locks_is_told_and_the_run_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "fcntl", None)
    with RunLock.take(run) as lock:
        assert lock.problem is not None and "this system has no locks" in lock.problem
        assert not is_locked(run)


def test_a_directory_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened: No such file"):
        RunLock.take(tmp_path / "gone")
    assert not is_locked(tmp_path / "gone")
