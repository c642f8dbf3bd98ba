"""`data info`: what a dataset holds, told by its manifest and its index."""

import json
from collections.abc import Callable
from pathlib import Path

from ...conftest import Ended
from ...shards.quix_writer import write_quix

CommandLine = Callable[..., Ended]


def test_it_says_what_the_dataset_holds(command_line: CommandLine, pets: Path) -> None:
    lines = command_line("data", "info", str(pets)).out.splitlines()
    assert lines[0].startswith(f"{pets}: labwright shards, 6 samples in 3 shards, ")
    assert "  checksums    CRC-32 of each field, SHA-256 of each shard" in lines
    assert any(line.split()[:3] == ["train", "5", "2"] for line in lines)
    assert any(line.split()[:4] == ["left.npy", "npy", "6", "176"] for line in lines), lines
    assert '  class_names  {"cls": ["cat", "dog"], "seg8": ["background", "ear", "tail"]}' in lines


def test_a_script_gets_all_of_it_as_json(command_line: CommandLine, pets: Path) -> None:
    facts = json.loads(command_line("data", "info", str(pets), "--json").out)
    assert (facts["kind"], facts["num_samples"], facts["num_shards"]) == ("labwright", 6, 3)
    assert {name: split["num_samples"] for name, split in facts["splits"].items()} == {"train": 5, "test": 1}
    assert facts["num_bytes"] == sum(path.stat().st_size for path in pets.glob("*.tar"))
    assert facts["fields"]["cls"] == {
        "codec": "cls", "num_samples": 6, "num_bytes": 6, "min_bytes": 1, "median_bytes": 1, "max_bytes": 1
    }  # fmt: skip
    content = sum(field["num_bytes"] for field in facts["fields"].values())
    assert facts["mean_sample_bytes"] == content / 6
    assert facts["has_checksums"] and facts["metadata"]["class_names"]["cls"] == ["cat", "dog"]


def test_one_split_alone(command_line: CommandLine, pets: Path) -> None:
    facts = json.loads(command_line("data", "info", str(pets), "--split=test", "--json").out)
    assert (facts["num_samples"], list(facts["splits"]), facts["fields"]["png"]["num_samples"]) == (1, ["test"], 1)


def test_tar_files_of_others_are_understood_and_have_no_checksums(command_line: CommandLine, pets: Path) -> None:
    (pets / "dataset.json").unlink()
    ended = command_line("data", "info", str(pets))
    assert ended.out.startswith(f"{pets}: WebDataset shards, 6 samples in 3 shards, ")
    assert "  checksums    none; data convert adds them" in ended.out.splitlines()


def test_every_verb_that_reads_takes_a_dataset_of_quix(command_line: CommandLine, tmp_path: Path) -> None:
    samples = [(f"{number:03}", {"cls": b"%d" % number, "txt": b"hello", "pkl": b"never read"}) for number in range(5)]
    write_quix(tmp_path / "old", {"train": samples})
    facts = json.loads(command_line("data", "info", "old", "--json").out)
    assert (facts["kind"], facts["num_samples"], facts["num_shards"]) == ("quix", 5, 2)
    assert command_line("data", "ls", "old", "--limit=2").out.split() == ["000", "001"]
    assert command_line("data", "cat", "old", "003.cls", "003.pkl", "--decode").out == "3\n10 bytes without a codec\n"
    assert command_line("data", "verify", "old").code == 0


def test_of_one_shard_nothing_is_said_to_be_missing_that_lies_beside_it(command_line: CommandLine, pets: Path) -> None:
    ended = command_line("data", "info", str(pets / "train-000000.tar"))
    assert (ended.code, ended.err) == (0, "") and "WebDataset shards, 3 samples in 1 shard" in ended.out
