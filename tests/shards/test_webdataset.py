import io
import os
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from labwright.shards import ShardError, open_dataset

from .conftest import label, values
from .tars import write_tar
from .test_opened import contents, refusal

pytestmark = [  # WebDataset leaves its files to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def wds() -> ModuleType:
    return pytest.importorskip("webdataset")


def test_keys_that_recur_get_the_name_of_their_shard_whatever_it_is(tmp_path: Path) -> None:
    for name in ("\n1.tar", os.fsdecode(b"\xff2.tar")):
        write_tar(tmp_path / name, [("x.cls", b"1")])
    assert open_dataset(tmp_path).split("train").index.keys[[0, 1]] == ["\\n1/x", "\\udcff2/x"]


def test_webdataset_reads_what_we_write(dataset: Path, wds: ModuleType) -> None:
    """Its reader, unchanged, decoding by its own rules."""
    found = list(wds.WebDataset(str(dataset / "train-{000000..000002}.tar"), shardshuffle=False).decode())
    assert [sample["__key__"] for sample in found] == [f"train/{number:03d}" for number in range(10)]
    for number, sample in enumerate(found):
        assert sample["cls"] == label(number) and (sample["npy"] == values(number)).all()


def test_what_webdataset_writes_opens(tmp_path: Path, wds: ModuleType) -> None:
    """Times with fractions make it write pax headers."""
    samples = [{"__key__": f"{number:04d}", "txt": f"text {number}", "cls": number} for number in range(25)]
    with wds.ShardWriter(str(tmp_path / "data-%06d.tar"), maxcount=10, verbose=0) as writer:
        for sample in samples:
            writer.write(sample)
    opened = open_dataset(tmp_path)
    assert (opened.kind, opened.splits, opened.notes) == ("webdataset", ("train",), ())
    split = opened.split("train")
    assert not split.has_checksums and len(split.shards) == 3
    assert contents(split, "txt") == [sample["txt"].encode() for sample in samples]
    theirs = list(wds.WebDataset(str(tmp_path / "data-{000000..000002}.tar"), shardshuffle=False))
    assert split.index.keys[range(25)] == [sample["__key__"] for sample in theirs]
    assert contents(split, "cls") == [sample["cls"] for sample in theirs]


def test_names_are_cut_as_webdataset_cuts_them(tmp_path: Path, wds: ModuleType) -> None:
    names = ["a/b.c/1.left.JPG", "a/b.c/1.right.jpg", "__meta__/x.json", "README", "._mac.jpg", "x.", "2.cls", "__a__"]
    write_tar(tmp_path / "x-0.tar", [(name, name.encode()) for name in names])
    opened = open_dataset(tmp_path)
    split = opened.split("train")
    ours = {
        (split.index.keys[position], field)
        for position in range(len(split.index))
        for field in split.index.fields
        if split.index.records["fields"][field]["offset"][position]
    }
    theirs = {
        (sample["__key__"], field)
        for sample in wds.WebDataset(str(tmp_path / "x-0.tar"), shardshuffle=False)
        for field in sample
        if field and not field.startswith("__")
    }
    assert ours == theirs == {("a/b.c/1", "left.jpg"), ("a/b.c/1", "right.jpg"), ("2", "cls")}
    assert opened.notes[0].startswith("5 members belong to no sample: x-0.tar: __meta__/x.json, x-0.tar: README, ")


def test_keys_that_begin_again_in_every_shard_are_told_apart(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"{number:05d}.tar", [("000.txt", b"%d" % number), ("001.txt", b"x")])
    split = open_dataset(tmp_path).split("train")
    assert split.index.keys[range(4)] == ["00000/000", "00000/001", "00001/000", "00001/001"]
    assert contents(split, "txt") == [b"0", b"x", b"1", b"x"]


def test_unknown_field_is_bytes(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.md5", b"x"), ("a.Left.JPG", b"")])
    assert open_dataset(tmp_path).codecs == {"md5": "bytes", "left.jpg": "jpg"}


@pytest.mark.parametrize(
    "pattern", ["train-{000000..000002}.tar", "train-*.tar", "train-00000?.tar", "{train,val}-*.tar"]
)
def test_pattern_chooses_shards(dataset: Path, pattern: str) -> None:
    opened = open_dataset(dataset / pattern)
    assert opened.split("train").num_samples == 10 and opened.directory == dataset
    assert ("val" in opened.splits) == pattern.startswith("{")


def test_pattern_without_a_file_is_refused(dataset: Path) -> None:
    assert refusal(dataset / "train-{000002..000004}.tar").endswith(f"has no file {dataset / 'train-000003.tar'}")
    assert refusal(dataset / "test-*.tar") == f"no file matches {dataset / 'test-*.tar'}"
    assert "is neither a range" in refusal(dataset / "train-{4..2}.tar")


def test_folders_are_splits(tmp_path: Path) -> None:
    for split in ("val", "train"):
        write_tar(tmp_path / split / "0.tar", [("a.txt", split.encode())])
    write_tar(tmp_path / ".hidden" / "0.tar", [("a.txt", b"")])
    opened = open_dataset(tmp_path)
    assert opened.splits == ("train", "val")
    assert [contents(opened.split(name), "txt") for name in opened.splits] == [[b"train"], [b"val"]]


def test_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "one" / "0.tar", [("a.txt", b"x"), ("b.txt", b"yy")])
    two = write_tar(tmp_path / "two" / "0.tar", [("a.txt", b"x"), ("b.txt", b"yy")])
    assert open_dataset(one.parent).fingerprint == open_dataset(two.parent).fingerprint
    write_tar(two, [("a.txt", b"x"), ("c.txt", b"yy")])
    assert open_dataset(one.parent).fingerprint != open_dataset(two.parent).fingerprint


def test_bad_shard_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.txt", b"x")])
    with tarfile.open(tmp_path / "1.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("b.txt"), io.BytesIO())
    with pytest.raises(ShardError, match=r"/1.tar: it is compressed \(gzip\), no plain tar file: decompress it"):
        open_dataset(tmp_path)
