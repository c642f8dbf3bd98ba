"""Writers and merges that are killed, or lose power, at any file operation; each in a child process of its own."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.shards import ShardError, ShardWriter, merge_parts, open_dataset
from tests.chaos.inject import Fault, Loss, install

from .stored import Stored, stored

pytestmark = [pytest.mark.kill, pytest.mark.slow]

Tree = Callable[[Path], Mapping[str, bytes]]
LOSSES: tuple[Loss, ...] = ("everything", "contents", "zeroed", "renames", "some")


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are written in several pieces; and nothing waits for the disk: the injector knows what was synced."""
    monkeypatch.setattr("labwright.shards.shard_file._BUFFER_BYTES", 3000)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def write(path: Path, start: int = 0, **options: Any) -> None:
    """Two shards."""
    with ShardWriter(path, ["bin", "cls"], shard_samples=2, progress=False, **options) as writer:
        for number in range(start, start + 3):
            writer.write("train", f"{number:03d}", {"bin": bytes([number]) * 2000, "cls": number})


def write_more(path: Path) -> None:
    write(path, start=3, append=True)


def append_nothing(path: Path) -> None:
    with ShardWriter(path, append=True):
        pass


def write_part(path: Path, part: int) -> None:
    write(path, start=part * 3, part=part, append=True)


def ended(fault: Fault, story: Callable[..., object], *args: Any) -> int:
    """The exit code of a child process that does the story under a fault."""
    child = multiprocessing.get_context("fork").Process(target=_suffer, args=(fault.to_json(), story, *args))
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def _suffer(fault: str, story: Callable[..., object], *args: Any) -> None:
    install(fault)
    story(*args)


class Disk:
    """A directory in which a story is told again and again, each time hit by a fault at the next operation."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self.path = self.root / "texts"
        self.root.mkdir()
        self._before = folder / "before"
        self._trace = folder / "trace"

    def hits(self, story: Callable[..., object], *args: Any) -> Iterator[str]:
        """Tell the story from how things are now; yields after each fault, and says which it was."""
        shutil.copytree(self.root, self._before)
        assert ended(Fault(str(self.root), trace=str(self._trace)), story, *args) == 0
        operations = self._trace.read_text().splitlines()
        assert len(operations) > 20
        for at, operation in enumerate(operations, start=1):
            mode = ("kill", "power", "torn")[at % 3]
            shutil.rmtree(self.root)
            shutil.copytree(self._before, self.root)
            fault = Fault(str(self.root), mode, at, seed=at, loss=LOSSES[at // 3 % len(LOSSES)])
            assert ended(fault, story, *args) == -signal.SIGKILL
            yield f"{mode} ({fault.loss}) at {at}: {operation}"


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def seen(path: Path, hit: str) -> Stored | None:
    """What a reader finds, all of it whole; None: no dataset."""
    try:
        open_dataset(path)
    except ShardError:
        assert not (path / "dataset.json").exists()
        return None
    return stored(path)


def test_a_killed_writer_leaves_a_whole_dataset_or_none_and_the_next_one_works(
    disk: Disk, tmp_path: Path, tree: Tree
) -> None:
    write(tmp_path / "expected")
    expected = stored(tmp_path / "expected")
    for hit in disk.hits(write, disk.path):
        found = seen(disk.path, hit)
        assert found in (None, expected), hit
        if found is None:
            write(disk.path)
        else:
            append_nothing(disk.path)
        assert tree(disk.path) == tree(tmp_path / "expected"), hit


def test_a_killed_append_leaves_the_dataset_as_it_was_or_with_all_and_the_next_one_works(
    disk: Disk, tmp_path: Path, tree: Tree
) -> None:
    write(disk.path)
    shutil.copytree(disk.path, tmp_path / "expected")
    before = stored(disk.path)
    write_more(tmp_path / "expected")
    after = stored(tmp_path / "expected")
    for hit in disk.hits(write_more, disk.path):
        found = seen(disk.path, hit)
        assert found in (before, after), hit
        if found == before:
            write_more(disk.path)
        else:
            append_nothing(disk.path)
        assert tree(disk.path) == tree(tmp_path / "expected"), hit


@pytest.mark.parametrize("is_new", [True, False])
def test_a_killed_merge_goes_on_when_it_is_repeated(disk: Disk, tmp_path: Path, tree: Tree, is_new: bool) -> None:
    if not is_new:
        write(disk.path, start=50)
    for part in range(2):
        write_part(disk.path, part)
    before = None if is_new else stored(disk.path)
    shutil.copytree(disk.path, tmp_path / "expected")
    merge_parts(tmp_path / "expected")
    after = stored(tmp_path / "expected")
    for hit in disk.hits(merge_parts, disk.path):
        found = seen(disk.path, hit)
        assert found in (before, after), hit
        if (disk.path / "parts").exists():
            merge_parts(disk.path)
        assert tree(disk.path) == tree(tmp_path / "expected"), hit
        assert not (disk.path / "parts").exists(), hit


def test_a_killed_part_is_written_again(disk: Disk, tmp_path: Path, tree: Tree) -> None:
    for part in range(2):
        write_part(tmp_path / "expected", part)
    merge_parts(tmp_path / "expected")
    write_part(disk.path, 0)
    for hit in disk.hits(write_part, disk.path, 1):
        if not (disk.path / "parts/000001/dataset.json").exists():
            with pytest.raises(ShardError, match="lacks the part 1|the part 1 was not finished"):
                merge_parts(disk.path, num_parts=2)
            write_part(disk.path, 1)
        merge_parts(disk.path, num_parts=2)
        assert tree(disk.path) == tree(tmp_path / "expected"), hit
