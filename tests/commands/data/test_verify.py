"""`data verify`: every byte is looked at, and each damage named."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from ...conftest import Ended

CommandLine = Callable[..., Ended]


def test_whole_datasets_get_a_line_each(command_line: CommandLine, pets: Path) -> None:
    ended = command_line("data", "verify", str(pets), str(pets))
    assert ended.code == 0
    assert [line.partition(" samples in 3 shards, ")[0] for line in ended.out.splitlines()] == [f"{pets}: whole, 6"] * 2


def test_every_damaged_field_is_named(command_line: CommandLine, pets: Path, damage: Callable[[str], None]) -> None:
    for name in ("train/000.png", "train/002.left.npy", "test/005.json"):
        damage(name)
    ended = command_line("data", "verify", str(pets))
    lines = [line.partition(": its bytes changed (CRC-32 ")[0] for line in ended.out.splitlines()]
    assert ended.code == 1
    assert lines == [
        f"{pets}/train-000000.tar: train/000.png",
        f"{pets}/train-000000.tar: train/002.left.npy",
        f"{pets}/test-000000.tar: test/005.json",
        f"{pets}: damaged in 3 places",
    ]


def test_a_shard_that_was_cut_short_is_one_line_and_a_script_gets_each_field_that_is_gone(
    command_line: CommandLine, pets: Path
) -> None:
    os.truncate(pets / "train-000000.tar", 1500)
    ended = command_line("data", "verify", str(pets))
    line, summary = ended.out.splitlines()
    assert line.startswith(f"{pets}/train-000000.tar: it was cut short: it has 1,500 bytes and should have ")
    assert line.endswith("; 14 fields gone with its end") and summary == f"{pets}: damaged in 1 place"
    *found, last = map(json.loads, command_line("data", "verify", str(pets), "--json").out.splitlines())
    assert [each["is_detail"] for each in found] == [False] + [True] * 14
    assert (ended.code, last["num_damages"]) == (1, 1)


def test_a_script_gets_each_damage_as_a_line_then_the_whole(
    command_line: CommandLine, pets: Path, damage: Callable[[str], None]
) -> None:
    damage("train/004.seg8")
    (pets / "train-000009.tar").touch()
    found, debris, last = map(json.loads, command_line("data", "verify", str(pets), "--json").out.splitlines())
    assert (found["shard"], found["key"], found["field"]) == ("train-000001.tar", "train/004", "seg8")
    assert (debris["shard"], debris["is_debris"], found["is_debris"]) == ("train-000009.tar", True, False)
    assert (last["is_whole"], last["num_damages"], last["num_samples"], last["num_shards"]) == (False, 1, 6, 3)
    assert last["num_bytes"] == sum(path.stat().st_size for path in pets.glob("*.tar"))


def test_a_file_that_nobody_reads_is_a_note_and_no_damage(command_line: CommandLine, pets: Path) -> None:
    (pets / "train-000009.tar").touch()
    ended = command_line("data", "verify", str(pets))
    assert ended.code == 0 and ": whole, 6 samples" in ended.out
    assert ended.err == f"note: {pets}/train-000009.tar: the manifest does not name it, and nothing reads it\n"


def test_a_missing_shard_and_a_damaged_manifest_are_damages(command_line: CommandLine, pets: Path) -> None:
    (pets / "train-000001.tar").unlink()
    ended = command_line("data", "verify", str(pets))
    assert (ended.code, ended.out.splitlines()[0]) == (1, f"{pets}/train-000001.tar: it is missing (2 samples)")
    (pets / "dataset.json").write_text("{")
    ended = command_line("data", "verify", str(pets))
    assert ended.code == 1 and ended.out.startswith(f"{pets}/dataset.json: it is damaged: ")


def test_without_checksums_it_says_what_it_could_not_check(command_line: CommandLine, pets: Path) -> None:
    ended = command_line("data", "verify", str(pets / "train-000000.tar"))
    assert ended.code == 0
    assert "the tar files are in order, " in ended.out and "there are no checksums" in ended.out
