"""What is shown of a run, where."""

from io import StringIO
from pathlib import Path

import pytest

from labwright.runs import LogFile
from labwright.runs.terminal import Terminal


class Tty(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_stay_and_are_logged_also_those_said_before_there_was_a_log(tmp_path: Path) -> None:
    stream = StringIO()
    terminal = Terminal(stream)
    terminal.warn("this is not MNIST")
    with LogFile(tmp_path / "log.txt") as log:
        terminal.attach(log)
        terminal.line("epoch 1")
        terminal.note("for the file alone")
    assert stream.getvalue() == "warning: this is not MNIST\nepoch 1\n"
    assert (tmp_path / "log.txt").read_text() == "warning: this is not MNIST\nepoch 1\nfor the file alone\n"


def test_quiet_shows_warnings_and_errors_only() -> None:
    stream = StringIO()
    terminal = Terminal(stream, quiet=True)
    terminal.line("epoch 1")
    terminal.warn("mind")
    terminal.error("failed")
    list(terminal.progress([1], total=1, title="epoch 1"))
    assert stream.getvalue() == "warning: mind\nfailed\n"


def test_without_a_stream_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.line("epoch 1")
    terminal.warn("mind")
    terminal.error("failed")
    assert list(terminal.progress([1, 2], total=2, title="epoch 1")) == [1, 2]
    assert capfd.readouterr() == ("", "")


def test_only_a_terminal_gets_colours(tmp_path: Path) -> None:
    stream = Tty()
    terminal = Terminal(stream)
    with LogFile(tmp_path / "log.txt") as log:
        terminal.attach(log)
        terminal.warn("mind")
    assert "\x1b[1;33mwarning: mind\x1b[0m" in stream.getvalue()
    assert (tmp_path / "log.txt").read_text() == "warning: mind\n"


def test_plain_progress_is_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stream = StringIO()
    progress = Terminal(stream).progress(range(100), total=100, title="epoch 3/9 train")
    progress.status = "loss 0.5"
    for _ in progress:
        now += 0.125
    assert stream.getvalue().splitlines() == [
        "epoch 3/9 train: batch 40/100 loss 0.5",
        "epoch 3/9 train: batch 80/100 loss 0.5",
    ]


def test_bar_goes_when_the_batches_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Tty()
    progress = Terminal(stream).progress([1, 2], total=2, title="epoch 1/1 train")
    assert list(progress) == [1, 2]
    assert "epoch 1/1 train:" in stream.getvalue() and "\n" not in stream.getvalue()


def test_lines_come_above_a_bar_that_is_on_and_closing_it_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Tty()
    terminal = Terminal(stream)
    progress = terminal.progress([1, 2, 3], total=3, title="train")
    batches = iter(progress)
    next(batches)
    progress.close()
    terminal.error("failed")
    assert stream.getvalue().rpartition("\r")[2] == "\x1b[1;31mfailed\x1b[0m\n"


def test_closed_terminal_does_not_stop_a_run(tmp_path: Path) -> None:
    """`run.py 2>&1 | head -1` ended the training with a BrokenPipeError."""

    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    terminal = Terminal(Closed())
    with LogFile(tmp_path / "log.txt") as log:
        terminal.attach(log)
        terminal.line("epoch 1")
        terminal.warn("no disk")
        assert list(terminal.progress([1, 2], total=2, title="epoch 2")) == [1, 2]
    assert (tmp_path / "log.txt").read_text() == "epoch 1\nwarning: no disk\n"
