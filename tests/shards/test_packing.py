"""Sources packed into shards."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.shards import ShardDataset, ShardError, ShardWriter, merge_parts, verify
from labwright.shards.packing import pack
from labwright.shards.sources.base import Chosen, Source, Unreadable
from labwright.shards.sources.columns import Table

from .tables import rows

Tree = Callable[[Path], Mapping[str, bytes]]


class Flawed(Table):
    """A table with rows that cannot be read."""

    def read(self, positions: Any) -> Any:
        for position, sample in zip(positions, super().read(positions), strict=True):
            yield Unreadable(f"row {position} is damaged") if position % 7 == 3 else sample


def flawed(count: int) -> Source:
    source = rows(count)
    table = source.splits["train"]
    assert isinstance(table, Table)
    return Source(source.fields, {"train": Flawed(table.keys, table.columns)})


@pytest.mark.slow
def test_samples_come_back_in_their_order(tmp_path: Path) -> None:
    packed = pack(rows(20, test=4), tmp_path / "set", shard_samples=10)
    assert packed.num_samples == {"train": 20, "test": 4}
    assert packed.class_counts == {"cls": {"train": {0: 7, 1: 7, 2: 6}, "test": {0: 2, 1: 1, 2: 1}}}
    assert (packed.num_shards, packed.left_out) == (3, [])
    train = ShardDataset(tmp_path / "set", "train")
    assert [train[position]["name"] for position in (0, 19)] == ["0000", "0019"]
    np.testing.assert_array_equal(train[19]["npy"], np.arange(190, 200))
    assert not [*verify(tmp_path / "set")]


@pytest.mark.slow
def test_the_files_are_the_same_for_any_number_of_threads_and_a_second_time(tmp_path: Path, tree: Tree) -> None:
    for name, num_workers in (("one", 1), ("three", 3), ("again", 3)):
        pack(rows(30, val=4), tmp_path / name, shard_bytes=32_768, num_workers=num_workers)
    assert tree(tmp_path / "one") == tree(tmp_path / "three") == tree(tmp_path / "again")
    sizes = [path.stat().st_size for path in tmp_path.glob("one/train-*.tar")]
    assert len(sizes) == 3 and max(sizes) <= 32_768


def test_what_cannot_be_read_ends_the_pack_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="^row 3 is damaged$"):
        pack(flawed(40), tmp_path / "set", shard_samples=10, num_workers=4)
    assert not (tmp_path / "set").exists()


def test_what_cannot_be_read_is_left_out_and_listed_if_so_asked(tmp_path: Path) -> None:
    packed = pack(flawed(20), tmp_path / "set", shard_samples=10, num_workers=2, skip_unreadable=True)
    assert packed.left_out == [f"row {row} is damaged" for row in (3, 10, 17)]
    assert packed.num_samples == {"train": 17}
    assert "0003" not in ShardDataset(tmp_path / "set", "train").keys


def test_files_that_are_no_samples_count_too(tmp_path: Path) -> None:
    source = rows(3)
    found = Source(source.fields, source.splits, unreadable=(Unreadable(".DS_Store is hidden"), Unreadable("x")))
    with pytest.raises(Unreadable, match="^.DS_Store is hidden, and 1 more like this$"):
        pack(found, tmp_path / "set")
    assert pack(found, tmp_path / "set", skip_unreadable=True).left_out == [".DS_Store is hidden", "x"]


def test_a_source_of_which_nothing_can_be_read_makes_no_dataset(tmp_path: Path) -> None:
    only_bad = Source(flawed(4).fields, {"train": Chosen(flawed(4).splits["train"], np.array([3]))})
    with pytest.raises(Unreadable, match="no sample can be packed; row 3 is damaged"):
        pack(only_bad, tmp_path / "set", skip_unreadable=True)
    assert not (tmp_path / "set").exists()


def test_chosen_samples_keep_their_order(tmp_path: Path) -> None:
    source = rows(10)
    chosen = Source(source.fields, {"train": Chosen(source.splits["train"], np.array([7, 2, 5]))})
    pack(chosen, tmp_path / "set")
    assert list(ShardDataset(tmp_path / "set", "train").keys) == ["0007", "0002", "0005"]


@pytest.mark.slow
def test_a_dataset_is_added_to_only_if_so_asked(tmp_path: Path, tree: Tree) -> None:
    pack(rows(5), tmp_path / "set")
    before = tree(tmp_path / "set")
    with pytest.raises(ShardError, match="holds a dataset of 5 samples already; choose another directory, or append"):
        pack(rows(5), tmp_path / "set")
    with pytest.raises(ShardError, match="'0000': the dataset and the part 000000 both have a sample of split 'train'"):
        pack(rows(5), tmp_path / "set", append=True)
    assert tree(tmp_path / "set") == before
    source = rows(9)
    rest = Source(source.fields, {"train": Chosen(source.splits["train"], np.arange(5, 9))})
    assert pack(rest, tmp_path / "set", append=True).num_samples == {"train": 4}
    assert len(ShardDataset(tmp_path / "set", "train")) == 9


@pytest.mark.parametrize("there", ["a file", "other files", "parts of others"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, tree: Tree, there: str) -> None:
    path = tmp_path / "set"
    if there == "a file":
        path.write_text("precious")
    elif there == "other files":
        path.mkdir()
        (path / "notes.txt").write_text("precious")
    else:
        with ShardWriter(path, ["cls"], part=0, progress=False) as writer:
            writer.write("train", "a", {"cls": 1})
    before = tree(tmp_path)
    with pytest.raises(ShardError, match="is a file|and no dataset of shards|has parts that other writers left"):
        pack(rows(3), path)
    assert tree(tmp_path) == before


def test_progress_counts_every_sample(tmp_path: Path) -> None:
    told: list[int] = []
    pack(rows(30), tmp_path / "set", shard_samples=15, num_workers=2, progress=told.append)
    assert sum(told) == 30


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(rows(200), tmp_path / "set", shard_samples=50, num_workers=2, progress=interrupt)
    assert not (tmp_path / "set").exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pack")]


@pytest.mark.kill
@pytest.mark.parametrize("num_reads", [25, 60])
def test_a_killed_pack_leaves_no_dataset_and_can_be_repeated(tmp_path: Path, tree: Tree, num_reads: int) -> None:
    program = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from pathlib import Path
        from tests.shards.tables import rows
        from labwright.shards.packing import pack
        from labwright.shards.sources.columns import ValueColumn

        reads = 0
        read = ValueColumn.value

        def value(self, row):
            global reads
            reads += 1
            if reads == {num_reads}:
                os.kill(os.getpid(), signal.SIGKILL)
            return read(self, row)

        ValueColumn.value = value
        pack(rows(60), Path({str(tmp_path / "set")!r}), shard_samples=20, num_workers=1)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=600)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(ShardError, match="set was not packed to its end: the pack was killed, or is at work"):
        ShardDataset(tmp_path / "set", "train")
    with pytest.raises(ShardError, match="holds parts of a pack that was killed, or is at work: pack once more"):
        merge_parts(tmp_path / "set")
    pack(rows(60), tmp_path / "set", shard_samples=20)
    pack(rows(60), tmp_path / "whole", shard_samples=20)
    assert tree(tmp_path / "set") == tree(tmp_path / "whole")


def test_a_pack_that_was_killed_when_all_was_done_is_said_to_have_done_it(tmp_path: Path) -> None:
    path = tmp_path / "set"
    pack(rows(3), path)
    (path / ".packing").touch()
    with pytest.raises(ShardError, match="of 3 samples already: the pack that was killed there had written it whole"):
        pack(rows(3), path)
    assert list(verify(path)) == [] and not (path / ".packing").exists() and not (path / "parts").exists()
    with pytest.raises(ShardError, match="of 3 samples already; choose another directory, or append to it"):
        pack(rows(3), path)
