import io
import logging
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from labwright.runs.log import LogFile, copied_to


def logged(path: Path, *pieces: str, secrets: tuple[str, ...] = ()) -> str:
    with LogFile(path, secrets) as log:
        for piece in pieces:
            log.write(piece)
    return path.read_text()


def test_lines_are_in_the_file_at_once_and_an_unfinished_one_at_the_end(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.txt")
    log.write("epoch 1\nepo")
    assert (tmp_path / "log.txt").read_text() == "epoch 1\n"
    log.write("ch 2")
    log.close()
    assert (tmp_path / "log.txt").read_text() == "epoch 1\nepoch 2\n"


def test_colours_links_and_control_characters_are_left_out(tmp_path: Path) -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \x1b(Bplain\x07 tab\there größe\n"
    assert logged(tmp_path / "log.txt", text) == "red link plain tab\there größe\n"


def test_only_the_end_of_an_overwritten_line_counts(tmp_path: Path) -> None:
    frames = [f"\r{percent}%|###" for percent in range(0, 101, 5)]
    assert logged(tmp_path / "log.txt", *frames, "\r        \r", "epoch 1 done\n") == "epoch 1 done\n"


def test_a_real_progress_bar_leaves_only_the_lines_between(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with LogFile(path) as log:
        terminal = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            with copied_to(log):
                for epoch in (1, 2):
                    for _ in tqdm(range(3), leave=False, mininterval=0, file=sys.stderr):
                        pass
                    print(f"epoch {epoch}", file=sys.stderr)
    assert "%|" in terminal.getvalue()
    assert path.read_text() == "epoch 1\nepoch 2\n"


def test_windows_line_ends_are_line_ends(tmp_path: Path) -> None:
    assert logged(tmp_path / "log.txt", "one\r", "\ntwo\r\n") == "one\ntwo\n"


def test_no_secret_reaches_the_log_however_it_arrives(tmp_path: Path) -> None:
    pieces = ["key=hun", "ter22\n", "h\x1b[1munter\x1b[0m22\n", "hunt\x00er22"]
    assert logged(tmp_path / "log.txt", *pieces, secrets=("hunter22",)) == "key=********\n********\n********\n"


def test_a_second_log_continues_the_first(tmp_path: Path) -> None:
    logged(tmp_path / "log.txt", "one\n")
    assert logged(tmp_path / "log.txt", "two\n") == "one\ntwo\n"


def test_memory_does_not_grow_with_frames(tmp_path: Path) -> None:
    with LogFile(tmp_path / "log.txt") as log:
        for _ in range(100):
            log.write("\r" + "#" * 50)
        assert len(log._pending) <= 51  # pyright: ignore[reportPrivateUsage]


@given(st.lists(st.text(), max_size=5))
def test_pieces_give_the_same_log_as_the_whole(pieces: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        in_pieces = logged(Path(directory, "a"), *pieces)
        assert in_pieces == logged(Path(directory, "b"), "".join(pieces))
        assert "\x1b" not in in_pieces


def test_what_is_printed_goes_to_the_terminal_and_to_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LogFile(tmp_path / "log.txt") as log:
        with copied_to(log):
            print("result")
            print("progress", file=sys.stderr, flush=True)
            sys.stderr.writelines(["a\n", "b\n"])
            assert not sys.stdout.isatty()
        print("after")
    assert capsys.readouterr() == ("result\nafter\n", "progress\na\nb\n")
    assert (tmp_path / "log.txt").read_text() == "result\nprogress\na\nb\n"


def test_a_logger_that_outlives_the_log_still_reaches_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LogFile(tmp_path / "log.txt") as log:
        with copied_to(log):
            handler = logging.StreamHandler()
    log.close()
    handler.emit(logging.makeLogRecord({"msg": "late"}))
    assert capsys.readouterr().err == "late\n"
    assert (tmp_path / "log.txt").read_text() == ""


def test_the_streams_come_back_after_an_error(tmp_path: Path) -> None:
    before = (sys.stdout, sys.stderr)
    with LogFile(tmp_path / "log.txt") as log, pytest.raises(RuntimeError, match="boom"), copied_to(log):
        raise RuntimeError("boom")
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_costs_the_log_its_lines_and_nobody_else_anything() -> None:
    with LogFile(Path("/dev/full")) as log:
        assert log.failure is None
        log.write("epoch 1\n")
        log.write("epoch 2\n")
    assert "/dev/full cannot be written: no space is left on the device" in str(log.failure)
