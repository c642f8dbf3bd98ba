import os
from pathlib import Path

import numpy as np
import pytest

from labwright.shards import ShardDataset, ShardError, ShardWriter, open_dataset
from labwright.shards.files import ShardFiles
from labwright.shards.gather import Gatherer
from tests.shards.conftest import label, values
from tests.shards.quix_writer import write_quix


def opened_files(path: Path, **options: str) -> ShardFiles:
    return ShardFiles(open_dataset(path).split("train"), **options)  # type: ignore[arg-type]


def test_bytes_come_in_the_order_asked_for_from_whichever_shard(numbers: Path) -> None:
    files = opened_files(numbers)
    assert files.read(5, "cls") == str(label(5)).encode()
    asked = np.array([9, 0, 5, 0, 3])
    assert files.read_many(asked, "cls") == [str(label(int(n))).encode() for n in asked]
    assert len(files.read_many(np.array([], np.int64), "cls")) == 0


@pytest.mark.parametrize("verify", ["open", "read", "off"])
def test_arrays_of_one_shape_are_gathered_from_several_shards(numbers: Path, verify: str) -> None:
    asked = np.array([9, 0, 5, 0, 3])
    gathered = Gatherer(opened_files(numbers, verify=verify), "npy").gather(asked)
    assert gathered is not None
    assert gathered.dtype == np.float32
    assert (gathered == np.stack([values(int(n)) for n in asked])).all()
    assert gathered.flags.writeable and gathered.flags.c_contiguous


def test_arrays_that_differ_are_not_gathered_and_read_one_by_one(tmp_path: Path) -> None:
    arrays = [
        np.zeros((2, 3), np.float32),
        np.zeros((3, 2), np.float32),  # as many bytes
        np.zeros((2, 3), np.int32),
        np.zeros((2, 3), ">f4"),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.zeros(0),
        np.array(3.5),
        np.array(["a", "bc"]),
        np.zeros((2, 3), np.float32),
    ]
    with ShardWriter(tmp_path / "mixed", ["npy"], progress=False) as writer:
        for number, array in enumerate(arrays):
            writer.write("train", f"{number}", {"npy": array})
    dataset = ShardDataset(tmp_path / "mixed")
    gatherer = Gatherer(opened_files(tmp_path / "mixed"), "npy")

    assert gatherer.gather(np.array([0, 1])) is None
    assert gatherer.gather(np.array([0, 2])) is None
    assert gatherer.gather(np.array([0, 5])) is None
    assert gatherer.gather(np.array([4, 4])) is None
    assert gatherer.gather(np.array([5, 5])) is None
    for row in (1, 0, 3, 6, 2):
        gathered = gatherer.gather(np.array([row, row]))
        assert gathered is not None and gathered.dtype == arrays[row].dtype
        assert (gathered[1] == arrays[row]).all()
    batch = dataset.__getitems__(list(range(9)))["npy"]
    for array, read in zip(arrays, batch, strict=True):
        assert (np.asarray(read) == array).all() and read.shape == array.shape
    assert dataset.__getitems__([0, 8])["npy"].shape == (2, 2, 3)
    assert dataset.__getitems__([6, 6])["npy"].tolist() == [3.5, 3.5]
    assert dataset.__getitems__([7])["npy"][0].tolist() == ["a", "bc"]


def test_few_shards_are_open_at_once(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.files.most_files", lambda: 1)
    files = opened_files(numbers)
    assert files.read(0, "cls") == b"0"
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        assert files.read_many(np.array([9, 0, 5]), "cls") == [b"0", b"0", b"2"]
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before
    files.close()
    assert files.read(1, "cls") == b"1"


def test_checksums_are_asked_for_only_where_there_are_some(tmp_path: Path) -> None:
    write_quix(tmp_path / "quix", {"train": [("a", {"cls": b"1"})]})
    with pytest.raises(
        ShardError, match="verify='read' needs checksums, and these shards have none: use verify='open'"
    ):
        ShardDataset(tmp_path / "quix", verify="read")
    assert not hasattr(ShardDataset(tmp_path / "quix"), "stored_rows")
