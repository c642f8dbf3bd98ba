"""Writing datasets, adding to them, and what is refused."""

import errno
import io
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labwright.runs.durable import DiskError
from labwright.shards import ShardError, ShardWriter, merge_parts, open_dataset
from labwright.shards.codecs import Codec, TxtCodec
from labwright.shards.manifest import read_manifest

from .stored import keys, stored

Tree = Callable[[Path], Mapping[str, bytes]]


def write(path: Path, numbers: range = range(5), **options: Any) -> ShardWriter:
    """A dataset of texts and classes, or more of them."""
    with ShardWriter(path, ["txt", "cls"], progress=False, **options) as writer:
        for number in numbers:
            writer.write("train", f"text/{number:03d}", {"txt": f"number {number}", "cls": number})
    return writer


def in_fork(function: Callable[..., None], *args: Any) -> None:
    """Call `function` in a child process that has all of this one's memory."""
    child = multiprocessing.get_context("fork").Process(target=function, args=args)
    child.start()
    child.join()
    assert child.exitcode == 0


def sample(number: int) -> dict[str, Any]:
    return {"txt": f"number {number}", "cls": number}


# -- what is written


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "texts", range(3))
    assert stored(tmp_path / "texts") == {
        "train": {f"text/00{number}": {"txt": b"number %d" % number, "cls": b"%d" % number} for number in range(3)}
    }


def test_splits_may_come_interleaved_each_with_shards_of_its_own(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "texts", ["txt", "cls"], shard_samples=3) as writer:
        for number in range(12):
            writer.write(("train", "train", "val")[number % 3], f"{number}", sample(number))
    assert keys(tmp_path / "texts") == {
        "train": ["0", "1", "3", "4", "6", "7", "9", "10"],
        "val": ["2", "5", "8", "11"],
    }
    shards = {name: split.shards for name, split in read_manifest(tmp_path / "texts").splits.items()}
    assert [(shard.name, shard.num_samples) for shard in shards["train"]] == [
        ("train-000000.tar", 3),
        ("train-000001.tar", 3),
        ("train-000002.tar", 2),
    ]
    assert [shard.num_samples for shard in shards["val"]] == [3, 1]


def test_the_same_key_may_be_in_two_splits(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "texts", ["txt", "cls"]) as writer:
        writer.write("train", "0", sample(0))
        writer.write("val", "0", sample(1))
    assert keys(tmp_path / "texts") == {"train": ["0"], "val": ["0"]}


def test_a_dataset_is_the_same_bytes_however_often_and_whenever_it_is_written(tmp_path: Path, tree: Tree) -> None:
    write(tmp_path / "a", range(20), shard_samples=7, metadata={"licence": "CC0"})
    write(tmp_path / "b", range(20), shard_samples=7, metadata={"licence": "CC0"})
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_shard_is_what_gnu_tar_lists(tmp_path: Path) -> None:
    write(tmp_path / "texts", range(2))
    listed = subprocess.run(
        ["tar", "--full-time", "--utc", "-tvf", tmp_path / "texts/train-000000.tar"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not listed.stderr
    assert [line.split() for line in listed.stdout.splitlines()][0] == [
        "-rw-r--r--", "0/0", "8", "1970-01-01", "00:00:00", "text/000.txt"
    ]  # fmt: skip


def test_shards_do_not_grow_beyond_their_limit(tmp_path: Path) -> None:
    sizes = np.random.default_rng(0).integers(0, 5000, size=60).tolist()
    with ShardWriter(tmp_path / "blobs", ["bin"], shard_bytes=20_000) as writer:
        for number, size in enumerate(sizes):
            writer.write("train", f"{number:02d}", {"bin": bytes(size)})
    found = read_manifest(tmp_path / "blobs").splits["train"].shards
    assert len(found) > 5 and all(15_000 < shard.num_bytes <= 20_000 for shard in found[:-1])
    assert [len(each["bin"]) for each in stored(tmp_path / "blobs")["train"].values()] == sizes


def test_a_sample_larger_than_a_shard_gets_one_of_its_own(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "blobs", ["bin"], shard_bytes=10_000) as writer:
        for number, size in enumerate((10, 700_000, 10)):
            writer.write("train", f"{number}", {"bin": os.urandom(size)})
    assert [shard.num_samples for shard in read_manifest(tmp_path / "blobs").splits["train"].shards] == [1, 1, 1]
    assert len(stored(tmp_path / "blobs")["train"]["1"]["bin"]) == 700_000


def test_bytes_and_files_go_in_untouched_and_values_are_encoded(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.effect_noise((20, 10), 50).save(picture, format="jpeg", quality=12)
    (tmp_path / "picture.jpg").write_bytes(picture.getvalue())
    with ShardWriter(tmp_path / "pictures", ["left.jpg", "right.jpg", "npy", "json"]) as writer:
        writer.write(
            "train",
            "0",
            {
                "left.jpg": tmp_path / "picture.jpg",
                "right.jpg": memoryview(picture.getvalue()),
                "npy": np.arange(3),
                "json": {"a": [1, None]},
            },
        )
    found = stored(tmp_path / "pictures")["train"]["0"]
    assert found["left.jpg"] == found["right.jpg"] == picture.getvalue()
    assert np.load(io.BytesIO(found["npy"])).tolist() == [0, 1, 2] and json.loads(found["json"]) == {"a": [1, None]}


def test_fields_may_name_their_codec_or_bring_their_own(tmp_path: Path) -> None:
    class Reversed(Codec):
        names = ("reversed",)

        def encode(self, value: Any) -> bytes:
            return str(value)[::-1].encode()

        def decode(self, data: bytes | memoryview) -> str:
            return bytes(data).decode()[::-1]

    codecs = {"label": "cls", "word": Reversed()}
    with ShardWriter(tmp_path / "words", ["label", "word"], codecs=codecs) as writer:
        writer.write("train", "0", {"label": 7, "word": "abc"})
    assert stored(tmp_path / "words")["train"]["0"] == {"label": b"7", "word": b"cba"}
    assert open_dataset(tmp_path / "words").codecs == {"label": "cls", "word": "reversed"}
    with pytest.raises(ShardError, match="no codec is called 'reversed'"), ShardWriter(tmp_path / "words", append=True):
        pass
    with ShardWriter(tmp_path / "words", append=True, codecs={"word": Reversed()}) as writer:
        writer.write("train", "1", {"label": 8, "word": "xyz"})
    assert stored(tmp_path / "words")["train"]["1"] == {"label": b"8", "word": b"zyx"}


def test_the_manifest_tells_checksums_and_metadata_which_may_be_filled_until_the_end(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "texts", ["txt", "cls"], metadata={"size": (2, 3)}) as writer:
        writer.write("train", "0", sample(0))
        writer.metadata["class_names"] = ["zero"]
    manifest = read_manifest(tmp_path / "texts")
    assert manifest == writer.manifest
    assert manifest.metadata == {"size": [2, 3], "class_names": ["zero"]}
    [shard] = manifest.splits["train"].shards
    content = (tmp_path / "texts" / shard.name).read_bytes()
    assert (shard.num_bytes, shard.sha256) == (len(content), sha256(content).hexdigest())


def test_declared_splits_are_there_without_a_sample_and_a_dataset_without_any_is_one(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "some", ["txt", "cls"], splits=["train", "val"]) as writer:
        writer.write("train", "0", sample(0))
        with pytest.raises(ShardError, match='"tarin" is not one of train, val; did you mean train'):
            writer.write("tarin", "1", sample(1))
    assert keys(tmp_path / "some") == {"train": ["0"], "val": []}
    assert open_dataset(tmp_path / "some").split("val").num_samples == 0
    with ShardWriter(tmp_path / "none", ["txt", "cls"]) as writer:
        pass
    assert keys(tmp_path / "none") == {} and writer.summary.startswith("0 samples in 0 shards, 0 B")


def test_the_summary_counts(tmp_path: Path) -> None:
    summary = write(tmp_path / "texts", range(5), shard_samples=2).summary
    assert summary.startswith("5 samples (train 5) in 3 shards, 13.3 kB, ")


def test_a_bar_shows_the_rate_on_a_terminal_and_nothing_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShardWriter(tmp_path / "quiet", ["txt", "cls"]) as writer:
        writer.write("train", "0", sample(0))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ShardWriter(tmp_path / "texts", ["txt", "cls"]) as writer:
        writer.write("train", "0", sample(0))
    assert "texts: 0sample [00:00, ?sample/s]" in capsys.readouterr().err
    write(tmp_path / "silent")
    assert capsys.readouterr().err == ""


# -- adding


def test_appending_adds_shards_and_leaves_those_there_alone(tmp_path: Path, tree: Tree) -> None:
    path = tmp_path / "texts"
    write(path, range(5), shard_samples=2, metadata={"a": 1, "b": 1})
    before = tree(path)
    write(path, range(5, 8), shard_samples=2, append=True, metadata={"b": 2})
    with ShardWriter(path, append=True) as writer:
        writer.write("val", "x", sample(0))
    assert keys(path) == {"train": [f"text/{number:03d}" for number in range(8)], "val": ["x"]}
    shards = read_manifest(path).splits["train"].shards
    assert [shard.name for shard in shards] == [f"train-{number:06d}.tar" for number in range(5)]
    assert read_manifest(path).metadata == {"a": 1, "b": 2}
    after = tree(path)
    assert all(after[name] == content for name, content in before.items() if name.endswith(".tar"))


def test_whoever_opened_the_dataset_before_an_append_reads_on_and_older_indexes_go(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    write(path, range(2))
    before = open_dataset(path).split("train")
    write(path, range(2, 4), append=True)
    assert before.index.keys[range(2)] == ["text/000", "text/001"]
    write(path, range(4, 6), append=True)
    write(path, range(6, 8), append=True)
    assert len(list(path.glob("train.*.index.npy"))) == 2


def test_appending_to_nothing_begins_a_dataset(tmp_path: Path) -> None:
    write(tmp_path / "texts", append=True)
    assert len(keys(tmp_path / "texts")["train"]) == 5
    with pytest.raises(ShardError, match="no dataset yet: say which fields"), ShardWriter(tmp_path / "x", append=True):
        pass
    assert not (tmp_path / "x").exists()


def test_appending_nothing_changes_nothing(tmp_path: Path, tree: Tree) -> None:
    write(tmp_path / "texts")
    before = tree(tmp_path / "texts")
    write(tmp_path / "texts", range(0), append=True)
    with ShardWriter(tmp_path / "texts", append=True, splits=["train"]):
        pass
    assert tree(tmp_path / "texts") == before


def test_appending_to_a_damaged_index_is_refused_rather_than_sealed_with_a_new_checksum(tmp_path: Path) -> None:
    write(tmp_path / "texts")
    [index] = (tmp_path / "texts").glob("*.index.npy")
    content = bytearray(index.read_bytes())
    content[-1] ^= 1
    index.write_bytes(content)
    with pytest.raises(ShardError, match=r"index\.npy is damaged"):
        write(tmp_path / "texts", range(5, 6), append=True)


# -- what is refused


def test_an_existing_dataset_is_not_overwritten(tmp_path: Path, tree: Tree) -> None:
    write(tmp_path / "texts")
    before = tree(tmp_path / "texts")
    with pytest.raises(ShardError, match="holds a dataset of 5 samples already; add to it by append=True, or choose"):
        write(tmp_path / "texts")
    assert tree(tmp_path / "texts") == before


def test_a_directory_of_other_files_and_a_file_are_left_alone(tmp_path: Path, tree: Tree) -> None:
    """The shards of a WebDataset may be called as ours: without a manifest they are somebody's."""
    (tmp_path / "web").mkdir()
    with tarfile.open(tmp_path / "web/train-000000.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("0.txt"))
    before = tree(tmp_path)
    for path, what in (("web", "holds train-000000.tar and no dataset"), ("web/train-000000.tar", "is a file")):
        refused: list[dict[str, Any]] = [{}, {"append": True}, {"part": 0}]
        for options in refused:
            with pytest.raises(ShardError, match=what):
                write(tmp_path / path, **options)
    assert tree(tmp_path) == before


REFUSED_SAMPLES: list[tuple[Any, Any, Any, str]] = [
    ("train", "text/000", sample(0), "'text/000': a sample of split 'train' has this key already"),
    ("train", "new", {"txt": "a"}, "'new': the sample lacks cls; it has txt"),
    ("train", "new", {}, "'new': the sample lacks txt, cls; it has nothing"),
    ("train", "new", {**sample(0), "jpg": b""}, "'new': jpg is no field of this dataset; they are txt, cls"),
    ("train", "new", ["a", 1], "'new': a sample is a dict with the fields txt, cls, not list"),
    ("train", "new", {"txt": "a", "cls": "cat"}, "'new.cls': cls"),
    ("train", "new", {"txt": Path("missing"), "cls": 1}, "'new.txt': missing cannot be read: No such file"),
    ("train", "a.b", sample(0), "a.b"),
    ("train", "../a", sample(0), "../a"),
    ("train", "", sample(0), "empty"),
    ("train", "x" * 300, sample(0), "too long"),
    ("train", 3, sample(0), "a key is a text, not int"),
    ("a/b", "new", sample(0), "a split cannot be called 'a/b'"),
    ("", "new", sample(0), "a split cannot be called ''"),
]


def test_a_sample_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "texts", ["txt", "cls"]) as writer:
        writer.write("train", "text/000", sample(0))
        for split, key, given, message in REFUSED_SAMPLES:
            with pytest.raises(ShardError) as caught:
                writer.write(split, key, given)
            assert message in str(caught.value) and "\n" not in str(caught.value)
        writer.write("train", "text/001", sample(1))
    assert keys(tmp_path / "texts") == {"train": ["text/000", "text/001"]}


def test_a_key_that_is_in_the_dataset_already_is_refused_when_appending(tmp_path: Path) -> None:
    write(tmp_path / "texts")
    with ShardWriter(tmp_path / "texts", append=True) as writer:
        with pytest.raises(ShardError, match="'text/003': the dataset has a sample with this key in split 'train'"):
            writer.write("train", "text/003", sample(3))
        writer.write("val", "text/003", sample(3))
    assert len(keys(tmp_path / "texts")["train"]) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say which fields the samples have"),
        ({"fields": []}, "a dataset has 1 to 256 fields, not 0"),
        ({"fields": "jpg"}, 'fields is a list of names: ["jpg"]'),
        ({"fields": ["jpg", "jpg"]}, "the fields jpg, jpg are not different"),
        ({"fields": ["a.npy", "A.npy"]}, "it knows no case"),
        ({"fields": ["a/b"]}, "a field cannot be called 'a/b'"),
        ({"fields": ["x.pkl"]}, "pickle"),
        ({"fields": ["txt"], "codecs": {"text": "txt"}}, "`codecs` names text; the fields are txt"),
        ({"fields": ["txt"], "codecs": {"txt": "latin"}}, "no codec is called 'latin'; there are"),
        ({"fields": ["txt"], "codecs": {"txt": str}}, "is a name or an instance of a subclass of Codec"),
        ({"fields": ["txt"], "codecs": {"txt": TxtCodec}}, "not the class; give an instance: TxtCodec()"),
        ({"fields": ["txt"], "shard_bytes": 0}, "shard_bytes is a number above 0, not 0"),
        ({"fields": ["txt"], "shard_samples": -1}, "shard_samples is a number above 0, not -1"),
        ({"fields": ["txt"], "part": -1}, "part is a number from 0"),
        ({"fields": ["txt"], "splits": ["a b"]}, "a split cannot be called 'a b'"),
        ({"fields": ["txt"], "splits": "train"}, 'splits is a list of names: ["train"]'),
        ({"fields": ["txt"], "metadata": {"a": "x" * (16 << 20)}}, "metadata has 16,777,228 bytes; up to 16,777,216"),
        ({"fields": ["txt"], "metadata": {"a": {1}}}, "metadata is no JSON"),
        ({"fields": ["txt"], "metadata": {"a": float("nan")}}, "metadata is no JSON"),
        ({"fields": ["txt"], "metadata": {"a": "\udc80"}}, "metadata is no JSON"),
    ],
)
def test_a_writer_that_cannot_work_is_refused_before_anything_is_made(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShardError) as caught:
        ShardWriter(tmp_path / "texts", **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ["txt"]}, "the dataset has the fields txt, cls; write those, not txt"),
        ({"codecs": {"cls": "txt"}}, "the dataset has 'cls' by the codec 'cls', not by 'txt'"),
    ],
)
def test_other_fields_than_the_dataset_has_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write(tmp_path / "texts")
    with pytest.raises(ShardError, match=message), ShardWriter(tmp_path / "texts", append=True, **options):
        pass
    assert not (tmp_path / "texts/.writing").exists()


def test_fields_in_another_order_are_written_in_that_of_the_dataset(tmp_path: Path) -> None:
    write(tmp_path / "texts")
    with ShardWriter(tmp_path / "texts", ["cls", "txt"], append=True) as writer:
        writer.write("train", "new", {"cls": 1, "txt": "one"})
    assert list(stored(tmp_path / "texts")["train"]["new"]) == ["txt", "cls"]


def test_a_folder_that_lies_elsewhere_is_not_emptied(tmp_path: Path) -> None:
    write(tmp_path / "texts")
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").touch()
    for link, options in ((".writing", {}), ("parts", {"part": 0}), ("more/parts/000000", {"part": 0})):
        path = tmp_path / "texts" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(other)
        directory = tmp_path / "texts" / ("more" if "more" in link else "")
        with pytest.raises(ShardError, match="is a symbolic link, which no writer made; delete it"):
            write(directory, range(5, 6), append=True, **options)
        path.unlink()
    (tmp_path / "texts" / "parts").symlink_to(other)
    with pytest.raises(ShardError, match="is a symbolic link"):
        merge_parts(tmp_path / "texts")
    assert [each.name for each in other.iterdir() if each.is_file()] == ["precious.txt"]


def test_more_shards_than_a_manifest_can_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.split_writer.MAX_SHARDS", 2)
    with pytest.raises(ShardError, match="split 'train' has 2 shards; allow more bytes or samples in each"):
        write(tmp_path / "texts", shard_samples=1)


def test_a_second_writer_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "texts", ["txt", "cls"]) as writer:
        writer.write("train", "0", sample(0))
        with pytest.raises(ShardError, match="is being written by another process; wait for it, or let each process"):
            write(tmp_path / "texts")
        with pytest.raises(ShardError, match="is being written by another process"):
            write(tmp_path / "texts", append=True)
    assert keys(tmp_path / "texts") == {"train": ["0"]}


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.warns(UserWarning, match="cannot be locked on this system: write it from one process only"):
        write(tmp_path / "texts")
    assert len(keys(tmp_path / "texts")["train"]) == 5


def test_a_writer_is_used_within_its_block_and_once(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "texts", ["txt", "cls"])
    assert not os.listdir(tmp_path)
    with pytest.raises(ShardError, match="is written within its block: with ShardWriter"):
        writer.write("train", "0", sample(0))
    with writer:
        writer.write("train", "0", sample(0))
    with pytest.raises(ShardError, match="is written within its block"):
        writer.write("train", "1", sample(1))
    with pytest.raises(ShardError, match="was used before; make a new one"), writer:
        pass


# -- what goes wrong


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_an_exception_in_the_block_leaves_nothing_new(tmp_path: Path, tree: Tree, error: BaseException) -> None:
    def fail(path: Path, **options: Any) -> None:
        with pytest.raises(type(error)), ShardWriter(path, ["txt", "cls"], shard_samples=1, **options) as writer:
            for number in range(5, 8):
                writer.write("train", f"text/{number:03d}", sample(number))
            raise error

    fail(tmp_path / "deep/texts")
    fail(tmp_path / "deep/texts", part=3)
    assert not os.listdir(tmp_path)
    write(tmp_path / "texts")
    before = tree(tmp_path / "texts")
    fail(tmp_path / "texts", append=True)
    assert tree(tmp_path / "texts") == before
    write(tmp_path / "texts", range(5, 8), append=True)


@pytest.mark.parametrize("failing", ["fsync", "replace", "mkdir"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "texts"
    write(path)
    before = tree(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(DiskError, match=r"cannot be written: no space is left on the device; free some"):
            write(path, range(5, 8), append=True)
    assert tree(path) == before
    write(path, range(5, 8), append=True)
    assert len(keys(path)["train"]) == 8


def test_after_a_failed_write_nothing_more_can_be_written_and_nothing_is_kept(tmp_path: Path) -> None:
    """A limit of the file size is a disk that is full in the middle of a shard; it is the child's alone."""
    in_fork(_write_beyond_a_limit, tmp_path / "blobs")
    assert not os.listdir(tmp_path)


def _write_beyond_a_limit(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    with (
        pytest.raises(ShardError, match="blobs gets nothing more: an earlier write failed"),
        ShardWriter(path, ["bin"], progress=False) as writer,
    ):
        with pytest.raises(DiskError, match=r"train-000000\.tar cannot be written: File too large"):
            for number in range(8):
                writer.write("train", str(number), {"bin": bytes(300_000)})
        with pytest.raises(ShardError, match="gets nothing more: an earlier write failed"):
            writer.write("train", "x", {"bin": b""})


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="cannot be written: Not a directory"):
        write(tmp_path / "file/texts")


def test_a_forked_child_neither_writes_nor_ends_what_its_parent_writes(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "texts", ["txt", "cls"], progress=False) as writer:
        writer.write("train", "0", sample(0))
        in_fork(_write_and_leave, writer)
        writer.write("train", "1", sample(1))
    assert keys(tmp_path / "texts") == {"train": ["0", "1"]}


def _write_and_leave(writer: ShardWriter) -> None:
    with pytest.raises(ShardError, match="is written by the process that opened it; give others a part"):
        writer.write("train", "1", sample(1))
    writer.__exit__(None, None, None)
