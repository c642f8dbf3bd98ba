"""Shards made of other shards."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from labwright.shards import ShardDataset, ShardError, open_dataset
from labwright.shards.packing import pack
from labwright.shards.sources.base import Unreadable
from labwright.shards.sources.stored import stored_source

from ..quix_writer import write_quix

Tree = Callable[[Path], Mapping[str, bytes]]


def webdataset(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.parent


@pytest.mark.slow
def test_a_copy_in_shards_of_the_same_size_is_the_same(dataset: Path, tmp_path: Path, tree: Tree) -> None:
    pack(stored_source(open_dataset(dataset)), tmp_path / "copy", shard_samples=4, num_workers=2)
    assert tree(tmp_path / "copy") == tree(dataset)


def test_webdataset_becomes_ours_with_the_same_bytes(tmp_path: Path) -> None:
    path = webdataset(
        tmp_path / "wds/train-000.tar", {"a.txt": b"hello", "a.wav": b"RIFF", "b.txt": b"", "b.wav": b"x"}
    )
    pack(stored_source(open_dataset(path)), tmp_path / "ours")
    ours = ShardDataset(tmp_path / "ours", "train", raw=True)
    assert [ours[0]["txt"], ours[0]["wav"], ours[1]["wav"]] == [b"hello", b"RIFF", b"x"]
    assert open_dataset(tmp_path / "ours").codecs == {"txt": "txt", "wav": "bytes"}
    assert open_dataset(tmp_path / "ours").split("train").has_checksums


@pytest.mark.slow
def test_quix_becomes_ours_and_its_pickles_stay_bytes(tmp_path: Path) -> None:
    samples = [(f"{number:03d}", {"cls": b"%d" % number, "pkl": b"\x80\x04."}) for number in range(5)]
    path = write_quix(tmp_path / "quix", {"train": samples, "val": samples[:1]}, metadata={"licence": "CC0"})
    packed = pack(stored_source(open_dataset(path)), tmp_path / "ours")
    assert packed.num_samples == {"train": 5, "val": 1}
    ours = open_dataset(tmp_path / "ours")
    assert ours.codecs == {"cls": "cls", "pkl": "bytes"}
    assert ours.metadata["licence"] == "CC0"


def test_an_incomplete_sample_is_told_or_left_out(tmp_path: Path) -> None:
    path = webdataset(tmp_path / "wds/train-000.tar", {"a.txt": b"1", "a.cls": b"1", "b.txt": b"2", "c.cls": b"3"})
    source = stored_source(open_dataset(path))
    with pytest.raises(Unreadable, match="'b' in train-000.tar: it is incomplete: it has no cls"):
        pack(source, tmp_path / "ours")
    packed = pack(source, tmp_path / "ours", skip_unreadable=True)
    assert packed.num_samples == {"train": 1}
    assert [line.rpartition(" ")[2] for line in packed.left_out] == ["cls", "txt"]


def test_another_codec_can_be_said(tmp_path: Path) -> None:
    path = webdataset(tmp_path / "wds/train-000.tar", {"a.number": b"12"})
    assert stored_source(open_dataset(path)).fields == {"number": "bytes"}
    assert stored_source(open_dataset(path), {"number": "cls"}).fields == {"number": "cls"}
    with pytest.raises(ShardError, match="has no field 'x'; it has number"):
        stored_source(open_dataset(path), {"x": "cls"})
    with pytest.raises(ShardError, match="no codec is called 'klass'"):
        stored_source(open_dataset(path), {"number": "klass"})


def test_a_damaged_member_is_never_copied(dataset: Path, tmp_path: Path) -> None:
    record = open_dataset(dataset).split("train").index.records[0]
    with open(dataset / "train-000000.tar", "r+b") as file:
        file.seek(int(record["fields"]["npy"]["offset"]) + 130)
        file.write(b"!")
    with pytest.raises(ShardError, match=r"'train/000.npy' in .*/train-000000.tar: its checksum is"):
        pack(stored_source(open_dataset(dataset)), tmp_path / "copy", skip_unreadable=True)
    assert not (tmp_path / "copy").exists()


def test_samples_are_divided_by_classes_and_texts_alone(dataset: Path) -> None:
    samples = stored_source(open_dataset(dataset)).splits["train"]
    np.testing.assert_array_equal(samples.labels("cls"), [number % 3 for number in range(10)])
    with pytest.raises(ShardError, match=r"cannot be divided by 'npy' \(npy\): only by cls, txt and json"):
        samples.labels("npy")
    with pytest.raises(ShardError, match="no field 'age' to divide samples by; there are npy, cls"):
        samples.labels("age")
