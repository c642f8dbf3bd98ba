"""`data ls`: the samples in their order."""

import json
from collections.abc import Callable
from pathlib import Path

from ...conftest import Ended

CommandLine = Callable[..., Ended]


def test_a_line_for_each_key_in_order(command_line: CommandLine, pets: Path) -> None:
    keys = command_line("data", "ls", str(pets)).out.split()
    assert keys == ["train/000", "train/001", "train/002", "train/003", "train/004", "test/005"]
    assert command_line("data", "ls", str(pets), "--limit=2").out.split() == keys[:2]
    assert command_line("data", "ls", str(pets), "--pattern=*/00[15]").out.split() == ["train/001", "test/005"]
    assert command_line("data", "ls", str(pets), "--split=test").out.split() == ["test/005"]


def test_long_adds_sizes_split_and_shard_in_columns(command_line: CommandLine, pets: Path) -> None:
    heading, *lines = command_line("data", "ls", str(pets), "--long").out.splitlines()
    assert heading.split() == ["png", "cls", "seg8", "json", "left.npy", "split", "shard", "key"]
    assert len(lines) == 6 and {line.rindex("  ") for line in lines} == {heading.rindex("  ")}
    assert lines[0].split()[4:] == ["176", "train", "train-000000.tar", "train/000"]
    assert lines[4].split()[5:] == ["train", "train-000001.tar", "train/004"]


def test_a_script_gets_a_document_a_line(command_line: CommandLine, pets: Path) -> None:
    last = json.loads(command_line("data", "ls", str(pets), "--json").out.splitlines()[-1])
    assert (last["split"], last["key"], last["shard"]) == ("test", "test/005", "test-000000.tar")
    assert (last["fields"]["cls"], last["fields"]["left.npy"]) == (1, 176)


def test_nothing_found_is_said_and_no_error(command_line: CommandLine, pets: Path) -> None:
    ended = command_line("data", "ls", str(pets), "--pattern=bird*")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"no samples whose key fits 'bird*' in {pets}\n"
    assert command_line("data", "ls", str(pets), "--limit=-1").error == "--limit: -1 is negative; 0 shows all"
