"""Parts that several processes write, made one dataset."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.shards import ShardError, ShardWriter, merge_parts, open_dataset
from labwright.shards.manifest import read_manifest

from .stored import keys, stored

Tree = Callable[[Path], Mapping[str, bytes]]


def write_part(path: Path, part: int, numbers: range, *, split: str = "train", **options: Any) -> None:
    options = {"fields": ["txt", "cls"], "progress": False} | options
    with ShardWriter(path, part=part, **options) as writer:
        for number in numbers:
            writer.write(split, f"{number:03d}", {"txt": b"number %d" % number, "cls": part})


@pytest.mark.slow
def test_processes_write_at_once_and_their_parts_become_one_dataset(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=write_part, args=(path, part, range(part * 50, part * 50 + 50)), kwargs=options)
        for part, options in enumerate([{"shard_samples": 20}, {"shard_bytes": 60_000}, {}])
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    manifest = merge_parts(path, num_parts=3)
    assert manifest == read_manifest(path)
    assert keys(path) == {"train": [f"{number:03d}" for number in range(150)]}
    assert [shard.num_samples for shard in manifest.splits["train"].shards] == [20, 20, 10, 28, 22, 50]
    assert not (path / "parts").exists()


def test_parts_are_merged_in_the_order_of_their_numbers_and_shards_are_not_copied(tmp_path: Path) -> None:
    write_part(tmp_path, 1, range(2))
    write_part(tmp_path, 0, range(10, 12))
    write_part(tmp_path, 2, range(5), split="val")
    with pytest.raises(ShardError, match="has parts that are not merged yet"):
        open_dataset(tmp_path)
    assert list(stored(tmp_path / "parts/000001")["train"]) == ["000", "001"]
    inode = (tmp_path / "parts/000001/train-000000.tar").stat().st_ino
    merge_parts(tmp_path)
    assert keys(tmp_path) == {"train": ["010", "011", "000", "001"], "val": ["000", "001", "002", "003", "004"]}
    assert (tmp_path / "train-000001.tar").stat().st_ino == inode


def test_one_writer_and_parts_give_the_same_bytes(tmp_path: Path, tree: Tree) -> None:
    with ShardWriter(tmp_path / "one", ["txt"], shard_samples=3, metadata={"a": 1}) as writer:
        for number in range(9):
            writer.write("train", str(number), {"txt": "x" * number})
    for part in range(3):
        with ShardWriter(tmp_path / "parts", ["txt"], part=part, metadata={"a": 1}) as writer:
            for number in range(3 * part, 3 * part + 3):
                writer.write("train", str(number), {"txt": "x" * number})
    merge_parts(tmp_path / "parts")
    assert tree(tmp_path / "one") == tree(tmp_path / "parts")


def test_parts_are_added_to_a_dataset(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, ["txt", "cls"], metadata={"a": 1}) as writer:
        writer.write("train", "first", {"txt": "", "cls": 0})
    with pytest.raises(ShardError, match="holds a dataset of 1 samples already"):
        write_part(tmp_path, 0, range(2))
    write_part(tmp_path, 0, range(2), append=True, metadata={"b": 2})
    write_part(tmp_path, 1, range(0), append=True, splits=["val"])
    merge_parts(tmp_path)
    assert keys(tmp_path) == {"train": ["first", "000", "001"], "val": []}
    assert read_manifest(tmp_path).metadata == {"a": 1, "b": 2}


def refused(path: Path, tree: Tree, **options: Any) -> str:
    """Why the parts cannot be merged; nothing was changed by trying."""
    before = tree(path)
    with pytest.raises(ShardError) as caught:
        merge_parts(path, **options)
    assert tree(path) == before and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_key_in_two_parts_or_in_the_dataset_is_refused_before_anything_moves(tmp_path: Path, tree: Tree) -> None:
    write_part(tmp_path, 0, range(3))
    write_part(tmp_path, 1, range(2, 5))
    write_part(tmp_path, 2, range(3), split="val")
    why = "'002': the part 000000 and the part 000001 both have a sample of split 'train' with this key"
    assert refused(tmp_path, tree) == why
    with ShardWriter(tmp_path / "texts", ["txt", "cls"]) as writer:
        writer.write("train", "001", {"txt": "", "cls": 0})
    write_part(tmp_path / "texts", 0, range(3), append=True)
    assert refused(tmp_path / "texts", tree).startswith("'001': the dataset and the part 000000 both have")


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, tree: Tree) -> None:
    def other(name: str, **options: Any) -> Path:
        write_part(tmp_path / name, 0, range(2), metadata={"a": 1})
        write_part(tmp_path / name, 1, range(2, 4), **options)
        return tmp_path / name

    order = refused(other("order", fields=["cls", "txt"]), tree)
    assert order == "the part 000001 has the fields cls, txt, the part 000000 has txt, cls"
    codec = refused(other("codec", codecs={"txt": "bytes"}), tree)
    assert codec == "the part 000001 has the fields txt (bytes), cls, the part 000000 has txt, cls"
    path = other("metadata", metadata={"a": 2})
    assert "the part 000001 has other metadata 'a' than a part before it; say which by" in refused(path, tree)
    assert merge_parts(path, metadata={"a": 3}).metadata == {"a": 3}


def test_missing_and_unfinished_parts_are_named(tmp_path: Path, tree: Tree) -> None:
    assert "has no parts to merge; they are written by ShardWriter(path, part=0)" in refused(tmp_path, tree)
    write_part(tmp_path, 0, range(2))
    write_part(tmp_path, 2, range(2, 4))
    assert refused(tmp_path, tree) == f"{tmp_path}/parts lacks the part 1; write it by ShardWriter(path, part=1)"
    write_part(tmp_path, 1, range(4, 6))
    assert "lacks the part 3" in refused(tmp_path, tree, num_parts=4)
    assert "num_parts is a number above 0, not 0" in refused(tmp_path, tree, num_parts=0)
    assert "has 3 parts, not 2" in refused(tmp_path, tree, num_parts=2)
    with ShardWriter(tmp_path, ["txt", "cls"], part=3) as writer:
        writer.write("train", "x", {"txt": "", "cls": 0})
        assert "parts/000003 is being written by another process" in refused(tmp_path, tree)
    (tmp_path / "parts/000003/dataset.json").unlink()
    assert "the part 3 was not finished; write it by ShardWriter(path, part=3)" in refused(tmp_path, tree)
    write_part(tmp_path, 3, range(6, 8))
    (tmp_path / "parts/000002/train-000000.tar").write_bytes(b"")
    assert "it is missing, or does not have its 5,120 bytes" in refused(tmp_path, tree)


def test_a_part_is_written_once_and_nobody_writes_past_the_parts(tmp_path: Path) -> None:
    write_part(tmp_path, 0, range(2))
    with pytest.raises(ShardError, match="parts/000000 is written already; delete it to write this part again"):
        write_part(tmp_path, 0, range(2))
    with pytest.raises(ShardError, match="holds parts that are not merged; merge them by merge_parts, or delete"):
        with ShardWriter(tmp_path, ["txt", "cls"]):
            pass
    assert os.listdir(tmp_path) == ["parts"]


def test_a_part_without_a_sample_is_a_part(tmp_path: Path) -> None:
    write_part(tmp_path, 0, range(0))
    write_part(tmp_path, 1, range(1))
    assert merge_parts(tmp_path, num_parts=2).splits["train"].num_samples == 1
    assert keys(tmp_path) == {"train": ["000"]}


@pytest.mark.parametrize(
    "journal", [b"", b"{}", b"[" * 5000, b'{"manifest": 1, "folders": [], "moves": {"../x": "x"}}']
)
def test_a_damaged_journal_is_one_line_and_moves_nothing(tmp_path: Path, tree: Tree, journal: bytes) -> None:
    write_part(tmp_path, 0, range(1))
    (tmp_path / "parts/journal.json").write_bytes(journal)
    assert "parts/journal.json is damaged" in refused(tmp_path, tree)
