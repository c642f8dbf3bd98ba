import hashlib
import os
import zlib
from pathlib import Path

import pytest

from labwright.shards import ShardError
from labwright.shards.index import key_blob, make_index
from labwright.shards.scan import scan

from .tars import forged, plain, write_tar

ONE = [("a.jpg", b"1" * 700), ("a.cls", b"0"), ("b.jpg", b"22"), ("b.cls", b"1")]
TWO = [("c.cls", b"2"), ("c.jpg", b"333")]


def refusal(directory: Path, *names: str, may_recur: bool = False) -> str:
    with pytest.raises(ShardError) as refused:
        scan(directory, names, checksums=True, may_recur=may_recur)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("checksums", [False, True])
def test_index_is_made_from_the_tar_files_alone(tmp_path: Path, checksums: bool) -> None:
    paths = [write_tar(tmp_path / "0.tar", ONE), write_tar(tmp_path / "1.tar", TWO)]
    told: list[int] = []
    found = scan(tmp_path, ["0.tar", "1.tar"], checksums=checksums, progress=told.append)
    assert found.keys == ["a", "b", "c"] and found.fields == ("jpg", "cls") and found.ignored == []
    assert found.records["shard"].tolist() == [0, 0, 1]
    for position, members in enumerate((ONE[:2], ONE[2:], TWO)):
        data = paths[found.records["shard"][position]].read_bytes()
        for name, content in members:
            offset, size, crc = found.records["fields"][position][name[2:]].tolist()
            assert data[offset : offset + size] == content
            assert crc == (zlib.crc32(content) if checksums else 0)
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() if checksums else "" for path in paths]
    assert [shard.sha256 for shard in found.shards] == expected
    sizes = [path.stat().st_size for path in paths]
    assert [(shard.num_bytes, shard.num_samples) for shard in found.shards] == list(zip(sizes, (2, 1), strict=True))
    assert told == sizes
    assert make_index(found.records, found.keys).keys.find("c") == 2 and key_blob(found.keys) == b"a\nb\nc\n"


def test_sample_without_a_field_has_offset_0(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.jpg", b"1"), ("b.jpg", b"2"), ("b.json", b"{}")])
    found = scan(tmp_path, ["0.tar"], checksums=False)
    assert found.records["fields"]["json"]["offset"].tolist() == [0, 2560]


def test_tar_without_members_has_no_samples(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [])
    found = scan(tmp_path, ["0.tar"], checksums=True)
    assert len(found.records) == 0 and found.fields == () and found.shards[0].num_samples == 0


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.jpg", b""), ("a.jpg", b"")], "'a.jpg' in 0.tar: it is in the shard twice"),
        ([("a.jpg", b""), ("b.jpg", b""), ("a.cls", b"")], "'a.cls' in 0.tar: its key came before"),
        ([("a.jpg", b""), ("b.jpg", b""), ("a.jpg", b"")], "'a.jpg' in 0.tar: its key came before"),
        ([("a", b"")], "0.tar: the member 'a': a field cannot be called ''"),
        ([("a b/.x", b"")], "0.tar: the member 'a b/.x': the key 'a b/' has an empty part"),
        ([("__a__.jpg", b"")], "begins with __, which WebDataset skips"),
        ([("a.j g", b"")], "a field cannot be called 'j g'"),
        ([(f"a.{number}.jpg", b"") for number in range(257)], "'a.256.jpg' in 0.tar: the 257th field; a field begins"),
    ],
)
def test_samples_that_are_none_are_refused(tmp_path: Path, members: list[tuple[str, bytes]], message: str) -> None:
    write_tar(tmp_path / "0.tar", members)
    assert message in refusal(tmp_path, "0.tar")


def test_key_in_two_shards_is_refused_or_told_apart_by_the_shard(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", ONE)
    write_tar(tmp_path / "1.tar", [("b.jpg", b"")])
    assert refusal(tmp_path, "0.tar", "1.tar") == "'b.jpg' in 1.tar: its key is in an earlier shard too"
    found = scan(tmp_path, ["0.tar", "1.tar"], checksums=False, may_recur=True)
    assert found.keys == ["0/a", "0/b", "1/b"]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe would wait for ever, a device would never end."""
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "zero.tar").symlink_to("/dev/zero")
    (tmp_path / "dangling.tar").symlink_to("nowhere")
    for name in ("pipe", "folder", "zero"):
        assert refusal(tmp_path, f"{name}.tar") == f"{name}.tar: it is no regular file"
    assert refusal(tmp_path, "dangling.tar") == "dangling.tar: it is missing"
    assert refusal(tmp_path, "absent.tar") == "absent.tar: it is missing"


def test_shard_being_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(plain(ONE, end=b""))
    assert refusal(tmp_path, "0.tar") == "0.tar: it has no end mark: it was cut short, or is still being written"


def test_link_to_a_shard_elsewhere_is_followed(tmp_path: Path) -> None:
    """Caches of downloads are full of them."""
    (tmp_path / "cache").mkdir()
    write_tar(tmp_path / "cache" / "blob", ONE)
    (tmp_path / "0.tar").symlink_to("cache/blob")
    assert scan(tmp_path, ["0.tar"], checksums=False).keys == ["a", "b"]


def test_link_within_a_shard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(plain(ONE, end=b"") + forged(b"c.jpg", 0, b"2", link=b"/etc/passwd") + bytes(1024))
    assert refusal(tmp_path, "0.tar") == "'c.jpg' in 0.tar: it is a symbolic link; only plain files are read"
