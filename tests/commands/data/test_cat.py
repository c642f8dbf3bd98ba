"""`data cat`: one field of a sample, byte by byte or decoded."""

import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.commands import Project
from labwright.commands.data import run_verb
from labwright.shards import open_dataset
from labwright.shards.files import ShardFiles

from ...conftest import Ended

CommandLine = Callable[..., Ended]


class Stdout(io.TextIOWrapper):
    """A stdout that takes bytes too, as a pipe does, or a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.pipe = io.BytesIO()
        self.is_terminal = is_terminal
        super().__init__(self.pipe, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.fixture
def cat(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """What `data cat WORDS` writes."""

    def run(*words: str, is_terminal: bool = False) -> bytes:
        stdout = Stdout(is_terminal=is_terminal)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run_verb(["cat", *words], Project("run.py", dict)) == 0
        return stdout.pipe.getvalue()

    return run


def test_bytes_come_as_they_are_stored_in_either_order_of_words(cat: Callable[..., bytes], pets: Path) -> None:
    stored = ShardFiles(open_dataset(pets).split("train")).read(2, "png")
    assert stored.startswith(b"\x89PNG")
    assert cat(str(pets), "train/002.png") == stored
    assert cat("train/002.png", str(pets)) == stored
    assert cat(str(pets), "train/002.cls", "test/005.cls", "train/002.png") == b"01" + stored


def test_a_terminal_gets_text_and_nothing_else(cat: Callable[..., bytes], pets: Path) -> None:
    assert cat(str(pets), "train/002.json", is_terminal=True) == b'{"caption": "pet 2"}'
    with pytest.raises(UserError, match=r"train/002.png: .* that are no text; send them to a file, or add --decode"):
        cat(str(pets), "train/002.png", is_terminal=True)


def test_decoded_a_class_has_its_name_and_an_array_its_values(command_line: CommandLine, pets: Path) -> None:
    names = ["train/001.cls", "train/001.json", "train/001.png", "train/001.left.npy"]
    assert command_line("data", "cat", str(pets), *names, "--decode").out.splitlines() == [
        "1 (dog)",
        "{",
        '  "caption": "pet 1"',
        "}",
        "uint8 [24, 16, 3]: min 40, max 40, mean 40",
        "float32 [3, 4]: min 1, max 12, mean 6.5",
        "[[ 1.  2.  3.  4.]",
        " [ 5.  6.  7.  8.]",
        " [ 9. 10. 11. 12.]]",
    ]


def test_a_script_gets_place_checksum_and_value(command_line: CommandLine, pets: Path) -> None:
    said = json.loads(command_line("data", "cat", str(pets), "train/004.left.npy", "--json").out)
    assert (said["split"], said["key"], said["field"]) == ("train", "train/004", "left.npy")
    assert (said["shard"], said["num_bytes"], said["codec"]) == ("train-000001.tar", 176, "npy")
    assert said["value"] == {"dtype": "float32", "shape": [3, 4], "min": 4.0, "max": 15.0, "mean": 9.5}
    with open(pets / said["shard"], "rb") as file:
        file.seek(said["offset"])
        assert file.read(6) == b"\x93NUMPY"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "the following arguments are required: KEY.FIELD; see run.py data cat --help"),
        (
            ["train/001"],
            '"train/001" is a key: a field is missing behind it; the fields: png, cls, seg8, json, left.npy',
        ),
        (["train/001.pgn"], '"train/001" has no field "pgn"; the fields: png, cls, .*; did you mean png?'),
        (["train/009.png"], 'no sample is called "train/009.png"; a sample here: train/000.png; data ls lists them'),
        (["train/001.png", "nothing"], 'no sample is called "nothing"; .*'),
        (["train/001.png", "--split=test"], 'no sample is called "train/001.png"; a sample here: test/005.png; .*'),
    ],
)
def test_what_is_not_there_is_one_line(command_line: CommandLine, pets: Path, words: list[str], error: str) -> None:
    said = command_line("data", "cat", str(pets), *words)
    assert said.out == ""
    assert re.search(error.replace("?", r"\?") + "$", said.error), said.error


def test_a_damaged_field_is_named_and_those_beside_it_are_read(
    command_line: CommandLine, pets: Path, damage: Callable[[str], None]
) -> None:
    damage("train/001.png")
    error = command_line("data", "cat", str(pets), "train/001.png", "--decode").error
    assert error == "'train/001.png' in pets/train-000000.tar: its checksum is not that of the index: it is damaged"
    assert command_line("data", "cat", str(pets), "train/001.cls", "--decode").out == "1 (dog)\n"


def test_a_shard_that_is_cut_short_still_gives_what_lies_before_the_cut(command_line: CommandLine, pets: Path) -> None:
    shard = pets / "train-000000.tar"
    num_bytes = shard.stat().st_size
    os.truncate(shard, num_bytes // 2)
    assert command_line("data", "cat", str(pets), "train/000.cls", "--decode").out == "0 (cat)\n"
    assert command_line("data", "cat", str(pets), "train/002.png").error == (
        "'train/002.png' in pets/train-000000.tar: it was cut short: "
        f"it has {num_bytes // 2:,} bytes and should have {num_bytes:,}"
    )


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, pets: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Full(), write_through=True))
    with pytest.raises(UserError, match="^data cat: the output: No space left on device$"):
        run_verb(["cat", str(pets), "train/002.png"], Project("run.py", dict))
