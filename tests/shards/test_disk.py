import os
from pathlib import Path

import pytest

from labwright.shards import ShardError
from labwright.shards.disk import open_file, read_bounded


def test_small_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bounded(tmp_path / "a", "a", 3) == b"abc"


def test_large_file_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(ShardError, match="^a: it has more than 1 MiB$"):
        read_bounded(tmp_path / "a", "a", 1 << 20)


def test_pipe_device_and_missing_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ShardError, match="^x: it is no regular file$"):
            open_file(path, "x")
    with pytest.raises(ShardError, match="^x: it is missing$"):
        open_file(tmp_path / "absent", "x")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ShardError, match="^x: it cannot be read: Too many levels of symbolic links$"):
        open_file(tmp_path / "loop", "x")


def test_name_that_no_terminal_shows_is_spelled_out() -> None:
    assert str(ShardError("it is empty", shard="a\udcff\n.tar")) == "a\\udcff\\n.tar: it is empty"
