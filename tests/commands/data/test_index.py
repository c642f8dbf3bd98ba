"""`data index`: dataset.json and the index, made anew from the tar files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from ...conftest import Ended

CommandLine = Callable[..., Ended]
Tree = Callable[[Path], Mapping[str, bytes]]


def test_a_lost_index_comes_back_byte_by_byte(command_line: CommandLine, pets: Path, tree: Tree) -> None:
    before = tree(pets)
    for path in [*pets.glob("*.npy"), *pets.glob("*.keys")]:
        path.unlink()
    assert "it is missing" in command_line("data", "ls", str(pets)).error
    ended = command_line("data", "index", str(pets))
    assert ended.out.splitlines()[0].startswith("train: 5 samples in 2 shards, ")
    assert ended.out.splitlines()[-1].startswith(f"{pets}/dataset.json: fields png (png), cls (cls), seg8 (seg8), ")
    assert tree(pets) == before


def test_tar_files_of_others_become_a_dataset_where_they_are(command_line: CommandLine, pets: Path) -> None:
    for path in pets.iterdir():
        if path.suffix != ".tar":
            path.unlink()
    said = json.loads(command_line("data", "index", str(pets), "--json").out)
    assert said["fields"] == {"png": "png", "cls": "cls", "seg8": "seg8", "json": "json", "left.npy": "npy"}
    assert {name: split["num_samples"] for name, split in said["splits"].items()} == {"train": 5, "test": 1}
    assert (pets / said["splits"]["train"]["index"]).is_file()
    facts = json.loads(command_line("data", "info", str(pets), "--json").out)
    assert (facts["kind"], facts["num_samples"], facts["has_checksums"]) == ("labwright", 6, True)


def test_what_a_damaged_manifest_knew_is_kept_aside_and_said(command_line: CommandLine, pets: Path) -> None:
    (pets / "dataset.json").write_text('{"metadata": {"licence": "mine"}')
    ended = command_line("data", "index", str(pets))
    assert ended.code == 0 and "note: " in ended.err and "dataset.json.damaged" in ended.err
    assert (pets / "dataset.json.damaged").read_text() == '{"metadata": {"licence": "mine"}'
    assert command_line("data", "verify", str(pets)).code == 0


def test_it_does_not_make_an_index_without_a_shard_that_is_missing(command_line: CommandLine, pets: Path) -> None:
    (pets / "train-000001.tar").unlink()
    before = (pets / "dataset.json").read_bytes()
    assert command_line("data", "index", str(pets)).error == "train-000001.tar: it is missing"
    assert (pets / "dataset.json").read_bytes() == before


def test_a_shard_that_has_changed_is_only_taken_when_told_so(command_line: CommandLine, pets: Path) -> None:
    shard = pets / "train-000001.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    refused = command_line("data", "index", str(pets))
    assert refused.code == 2 and refused.error.startswith("train-000001.tar: it is not the file that was written")
    assert "--accept_changes" in refused.error
    taken = command_line("data", "index", str(pets), "--accept_changes")
    assert taken.code == 0 and "counts as it is now" in taken.err
    assert command_line("data", "verify", str(pets)).code == 0
