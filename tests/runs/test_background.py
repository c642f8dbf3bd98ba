import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.runs.background import Background
from labwright.runs.durable import write_durably


def test_the_caller_goes_on_while_the_work_is_done() -> None:
    background, may_end, done = Background(), threading.Event(), list[str]()
    background.begin(lambda: (may_end.wait(600), done.append("work")))
    assert not done
    may_end.set()
    background.wait()
    assert done == ["work"]


def test_one_thing_is_done_at_a_time() -> None:
    background, events = Background(), list[str]()
    for number in (1, 2):
        background.begin(
            lambda number=number: (events.append(f"begin {number}"), time.sleep(0.02), events.append(f"end {number}"))
        )
    background.wait()
    assert events == ["begin 1", "end 1", "begin 2", "end 2"]


def test_what_goes_wrong_is_raised_once_where_it_is_waited_for() -> None:
    background, failures = Background(), list[bool]()
    background.on_failure = lambda: failures.append(background.has_failed)
    error = OSError("the disk is gone")

    def fail() -> None:
        raise error

    background.begin(fail)
    with pytest.raises(OSError, match="the disk is gone") as raised:
        background.begin(lambda: failures.append(False))
    assert raised.value is error and failures == [True]
    background.wait()
    assert not background.has_failed


def test_the_work_itself_does_not_wait_for_itself() -> None:
    background = Background()
    background.begin(background.wait)
    background.wait()


def test_signals_are_the_callers() -> None:
    background, blocked = Background(), set[int]()
    background.begin(lambda: blocked.update(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    background.wait()
    assert {signal.SIGINT, signal.SIGTERM} <= blocked


def test_a_file_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    background, has_begun, may_go_on = Background(), threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        has_begun.set()
        may_go_on.wait(600)
        yield b"second"

    background.begin(lambda: write_durably(tmp_path / "file", background.pieces(pieces())))
    has_begun.wait(600)
    background.abandon()
    may_go_on.set()
    background.wait()
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_at_once_is_never_half_given_up() -> None:
    background = Background()
    background.abandon()
    assert background.pieces(b"all of it") == b"all of it"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_is_forked_when_nothing_is_at_work() -> None:
    """What a thread holds at the moment of the fork, the child would wait for without end."""
    background, done = Background(), list[str]()
    background.begin(lambda: (time.sleep(0.02), done.append("work")))
    pid = os.fork()
    if not pid:
        os._exit(0 if done == ["work"] and threading.active_count() == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    background.wait()


def test_where_the_system_gives_no_more_threads_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    background, done = Background(), []
    background.begin(lambda: done.append(1))
    background.wait()
    assert done == [1]
