import errno
import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.args.errors import UserError
from labwright.runs.durable import (
    DiskError,
    JsonlWriter,
    Room,
    cut_rows,
    make_directory,
    read_jsonl,
    remove_temporaries,
    strict_json,
    write_durably,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
rows_of_json = st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5)


def test_the_content_is_replaced_and_its_checksum_returned(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_durably(path, b"old")

    assert write_durably(path, b"new") == sha256(b"new").hexdigest()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_function_may_write_the_content_piece_by_piece(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"xxxx")
        file.seek(1)
        file.write(b"y")

    assert write_durably(tmp_path / "file", write) == sha256(b"xyxx").hexdigest()
    assert (tmp_path / "file").read_bytes() == b"xyxx"


def test_the_content_may_come_in_pieces(tmp_path: Path) -> None:
    pieces = iter([b"x", memoryview(b"yz"), b""])
    assert write_durably(tmp_path / "file", pieces) == sha256(b"xyz").hexdigest()
    assert (tmp_path / "file").read_bytes() == b"xyz"


def test_a_file_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        write_durably(tmp_path / "plain", b"")
        write_durably(tmp_path / "script", b"", mode=0o777)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "script").stat().st_mode) == 0o755


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "index.json"
    write_durably(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(DiskError, match=r"index\.json cannot be written: no space is left on the device; free some"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index.json"]


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "input/output error"),
        (errno.EACCES, "cannot be written: Permission denied"),
    ],
)
def test_a_disk_that_refuses_everything_is_one_line_with_the_first_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    def fail_later(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "not even this")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Path, "unlink", fail_later)
    with pytest.raises(DiskError, match=cause) as caught:
        write_durably(tmp_path / "index.json", b"new")
    assert "\n" not in str(caught.value) and caught.value.cause.errno == number


def test_a_file_can_be_replaced_in_room_that_was_taken_before_the_disk_was_full(
    tmp_path: Path, full_disk: Callable[[], None]
) -> None:
    path = tmp_path / "run.json"
    write_durably(path, b"old")
    room = Room(path, 1000)
    full_disk()
    with pytest.raises(DiskError, match="no space is left"):
        write_durably(path, b"new")
    room.fill(b"new")
    room.release()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["run.json"]


def test_room_whose_filling_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_durably(path, b"old")
    room = Room(path, 1000)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match="the device failed"):
        room.fill(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]


def test_room_that_a_kill_left_is_removed_with_the_temporary_files(tmp_path: Path) -> None:
    Room(tmp_path / "run.json", 1000)
    assert len(remove_temporaries(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_a_row_that_does_not_fit_leaves_the_rows_before_it(tmp_path: Path) -> None:
    """A limit of the file size is a disk that is full in the middle of a row."""
    program = """
import resource, sys
from pathlib import Path
from labwright.runs.durable import DiskError, JsonlWriter

resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
writer = JsonlWriter(Path(sys.argv[1]))
writer.append({"epoch": 1})
try:
    writer.append({"text": "x" * 100})
except DiskError as error:
    print(error)
writer.append({"epoch": 2})
writer.close()
"""
    path = tmp_path / "history.jsonl"
    command = [sys.executable, "-c", program, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "history.jsonl cannot be written: File too large" in result.stdout
    assert path.read_bytes() == b'{"epoch": 1}\n{"epoch": 2}\n'


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_row_for_a_full_disk_is_a_disk_error_and_closing_is_none() -> None:
    writer = JsonlWriter(Path("/dev/full"))
    with pytest.raises(DiskError, match="no space is left"):
        writer.append({"epoch": 1})
    writer.close()


def test_temporary_files_of_killed_writers_are_removed_and_no_others(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from labwright.runs.durable import write_durably

write_durably(Path(sys.argv[1]), lambda file: os.kill(os.getpid(), signal.SIGKILL))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "run.json")])
    (left,) = tmp_path.iterdir()
    others = [".mine.tmp", "run.json.0123abcd.tmp", ".run.json.0123abcd", ".run.json.0123ABCD.tmp", "notes.tmp"]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".folder.0123abcd.tmp").mkdir()
    assert remove_temporaries(tmp_path) == [left]
    assert {path.name for path in tmp_path.iterdir()} == {*others, ".folder.0123abcd.tmp"}
    assert remove_temporaries(tmp_path / "missing") == []


def test_the_name_of_each_new_directory_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("labwright.runs.durable.sync_directory", synced.append)
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]
    make_directory(tmp_path / "a" / "b")
    assert len(synced) == 2
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError, match="cannot be written"):
        make_directory(tmp_path / "file" / "c")


def test_ctrl_c_in_the_middle_of_a_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    write_durably(path, b"old")

    def interrupted(file: BinaryIO) -> None:
        file.write(b"half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_durably(path, interrupted)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index.json"]


def test_a_killed_writer_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    write_durably(path, b"old")
    program = """
import os, signal, sys
from pathlib import Path
from labwright.runs.durable import write_durably

def killed(file):
    file.write(b"half of the n")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write_durably(Path(sys.argv[1]), killed)
"""
    result = subprocess.run([sys.executable, "-c", program, str(path)])
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@settings(deadline=None, max_examples=40)
@given(rows_of_json)
def test_rows_come_back_as_they_were_written(rows: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "steps.jsonl")
        with JsonlWriter(path) as writer:
            for row in rows:
                writer.append(row)
        assert read_jsonl(path) == rows


@settings(deadline=None, max_examples=60)
@given(rows_of_json, st.data())
def test_a_file_cut_anywhere_loses_at_most_its_last_row_and_can_be_continued(
    rows: list[dict[str, object]], data: st.DataObject
) -> None:
    content = b"".join(strict_json(row) + b"\n" for row in rows)
    cut = content[: data.draw(st.integers(0, len(content)))]
    num_whole = cut.count(b"\n")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "history.jsonl")
        path.write_bytes(cut)
        survivors = read_jsonl(path)
        with JsonlWriter(path, sync=True) as writer:
            writer.append({"epoch": 7})
        assert survivors in (rows[:num_whole], rows[: num_whole + 1])
        assert read_jsonl(path) == [*survivors, {"epoch": 7}]


@settings(deadline=None, max_examples=60)
@given(rows_of_json, st.integers(0, 7), st.binary(max_size=5).filter(lambda tail: b"\n" not in tail))
def test_cutting_keeps_the_first_rows_byte_by_byte_and_nothing_else(
    rows: list[dict[str, object]], num_rows: int, torn: bytes
) -> None:
    lines = [strict_json(row) + b"\n" for row in rows]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "steps.jsonl")
        path.write_bytes(b"".join(lines) + b"{" + torn)
        assert cut_rows(path) == rows
        assert path.read_bytes() == b"".join(lines)
        assert cut_rows(path, num_rows) == rows[:num_rows] == read_jsonl(path)
        assert path.read_bytes() == b"".join(lines[:num_rows])
        assert os.listdir(directory) == ["steps.jsonl"]


def test_damage_behind_the_cut_does_not_matter_and_damage_before_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(UserError, match="line 2: not a JSON object"):
        cut_rows(path, 2)
    assert cut_rows(path, 1) == [{"step": 1}]
    assert path.read_bytes() == b'{"step": 1}\n'


def test_cutting_a_missing_file_makes_none(tmp_path: Path) -> None:
    assert cut_rows(tmp_path / "steps.jsonl", 3) == []
    assert not list(tmp_path.iterdir())


def test_rows_can_be_made_durable_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino) or fsync(descriptor))
    writer = JsonlWriter(tmp_path / "steps.jsonl")
    writer.flush_to_disk()
    writer.append({"step": 1})
    assert synced == []
    writer.flush_to_disk()
    writer.close()
    assert synced == [(tmp_path / "steps.jsonl").stat().st_ino, tmp_path.stat().st_ino]


def test_a_row_that_lost_only_its_newline_is_kept_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"epoch": 1}')
    with JsonlWriter(path) as writer:
        writer.append({"epoch": 2})
    assert read_jsonl(path) == [{"epoch": 1}, {"epoch": 2}]


def test_a_row_is_in_the_file_before_the_writer_is_closed(tmp_path: Path) -> None:
    writer = JsonlWriter(tmp_path / "steps.jsonl")
    writer.append({"step": 1})
    assert read_jsonl(tmp_path / "steps.jsonl") == [{"step": 1}]
    writer.close()
    writer.append({"step": 2})
    writer.close()
    assert read_jsonl(tmp_path / "steps.jsonl") == [{"step": 1}, {"step": 2}]


def test_a_last_line_of_zero_bytes_after_a_power_cut_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"epoch": 1}\n' + bytes(40))
    assert read_jsonl(path) == [{"epoch": 1}]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"epoch": 1}\n{"epo\n{"epoch": 3}\n')
    with pytest.raises(UserError, match="history.jsonl, line 2: not a JSON object"):
        read_jsonl(path)


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_jsonl(tmp_path / "history.jsonl") == []


def test_what_json_cannot_say_becomes_null() -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    value = {"loss": math.nan, "range": (1.5, -math.inf), "deep": [{"x": math.inf}], "n": 1}
    assert json.loads(strict_json(value), parse_constant=refuse) == {
        "loss": None,
        "range": [1.5, None],
        "deep": [{"x": None}],
        "n": 1,
    }


def test_undecodable_file_names_and_foreign_letters_survive() -> None:
    value = {"path": os.fsdecode(b"/data/\xff"), "name": "größe"}
    assert json.loads(strict_json(value)) == value
    assert "größe".encode() in strict_json(value)
