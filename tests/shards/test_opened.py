import hashlib
import pickle
import shutil
from pathlib import Path

import pytest

from labwright.shards import ShardError, ShardWriter, open_dataset
from labwright.shards.opened import OpenedSplit

from .tars import write_tar


def refusal(path: Path | str) -> str:
    with pytest.raises(ShardError) as refused:
        open_dataset(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def contents(split: OpenedSplit, field: str) -> list[bytes]:
    """Every member of a field, straight from the files."""
    places = split.index.records["fields"][field]
    files = [split.shards[number].path.read_bytes() for number in split.index.records["shard"]]
    return [file[int(place["offset"]) :][: int(place["size"])] for file, place in zip(files, places, strict=True)]


def test_dataset_is_opened_by_its_manifest(dataset: Path) -> None:
    opened = open_dataset(dataset)
    assert (opened.kind, opened.splits, opened.directory) == ("labwright", ("train", "val"), dataset)
    assert opened.codecs == {"npy": "npy", "cls": "cls"} and opened.metadata == {"class_names": ["a", "b", "c"]}
    assert opened.fingerprint == hashlib.sha256((dataset / "dataset.json").read_bytes()).hexdigest()
    train = opened.split("train")
    assert (train.name, train.num_samples, len(train.index), len(train.shards)) == ("train", 10, 10, 3)
    assert train.index.fields == ("npy", "cls") and train.has_checksums
    assert contents(train, "cls") == [str(number % 3).encode() for number in range(10)]
    assert open_dataset(str(dataset)).split("val").index.keys[[0, 2]] == ["val/000", "val/002"]


def test_opening_reads_neither_the_index_nor_the_shards(dataset: Path) -> None:
    for path in dataset.iterdir():
        if path.name != "dataset.json":
            path.unlink()
    split = open_dataset(dataset).split("train")
    assert split.num_samples == 10
    with pytest.raises(ShardError, match="index.npy: it is missing; `labwright data index` makes it anew"):
        len(split.index)


def test_split_can_be_pickled_with_or_without_its_index_in_use(dataset: Path) -> None:
    own = open_dataset(dataset).split("train")
    tar = open_dataset(dataset / "val-000000.tar").split("val")
    for split, key in ((own, "train/003"), (tar, "val/001")):
        assert split.index.keys.find(key) is not None
        again = pickle.loads(pickle.dumps(split))
        assert again.index.keys.find(key) == split.index.keys.find(key) and again.shards == split.shards
    assert len(pickle.dumps(own)) < 5000


def test_unknown_split_names_those_there_are(dataset: Path) -> None:
    with pytest.raises(ShardError, match='no such split: "trian" is not one of train, val; did you mean train?'):
        open_dataset(dataset).split("trian")


def test_what_is_no_dataset_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == f"{tmp_path / 'absent'} does not exist"
    assert refusal(tmp_path) == (
        f"{tmp_path} holds no dataset of shards: neither dataset.json, nor config.json of quix, nor tar files"
    )
    (tmp_path / "train-0.tar.gz").touch()
    assert "only compressed tar files (train-0.tar.gz); decompress them first" in refusal(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'dataset.json'} is damaged at fields")
    (tmp_path / "x.txt").touch()
    assert refusal(tmp_path / "x.txt") == f"{tmp_path.name}/x.txt: it is empty"


def test_unfinished_dataset_is_none(tmp_path: Path) -> None:
    """Its shards must not pass for a dataset of WebDataset."""
    write_tar(tmp_path / "a" / "train-000000.tar", [("a.jpg", b"")])
    (tmp_path / "a" / ".writing").mkdir()
    assert "was not finished: its writer was killed, or is at work" in refusal(tmp_path / "a")
    with ShardWriter(tmp_path / "b", ["cls"], part=0, progress=False) as writer:
        writer.write("train", "a", {"cls": 1})
    assert "has parts that are not merged yet: merge_parts(" in refusal(tmp_path / "b")


def test_folder_of_shards_that_is_called_parts_is_none_of_a_writer(tmp_path: Path) -> None:
    write_tar(tmp_path / "parts" / "000000.tar", [("a.cls", b"1")])
    assert open_dataset(tmp_path).split("train").num_samples == 1


def test_path_that_the_system_refuses_is_one_line() -> None:
    assert refusal("a" * 300).endswith("it cannot be read: File name too long")


def test_lost_manifest_is_mentioned_where_the_tar_files_are_opened_as_they_are(dataset: Path) -> None:
    (dataset / "dataset.json").unlink()
    opened = open_dataset(dataset)
    assert opened.kind == "webdataset" and opened.split("train").num_samples == 10
    assert opened.notes == ("dataset.json is missing, so there are no checksums; `labwright data index` makes it anew",)


def test_moved_dataset_is_the_same_dataset(dataset: Path, tmp_path: Path) -> None:
    before = open_dataset(dataset).fingerprint
    shutil.move(dataset, tmp_path / "elsewhere")
    opened = open_dataset(tmp_path / "elsewhere")
    assert opened.fingerprint == before and len(contents(opened.split("val"), "npy")) == 3
