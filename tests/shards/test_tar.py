import gzip
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.shards import ShardError
from labwright.shards.tar import END, MAX_MEMBER_BYTES, Member, header, members, padding, parse_header

from .tars import content, forged, pax, plain, record, write_tar

SAMPLES = [("cat/0001.jpg", b"jpeg" * 300), ("cat/0001.cls", b"3"), ("cat/0002.jpg", b""), ("cat/0002.cls", b"1" * 512)]


def found(data: bytes) -> list[Member]:
    return list(members(io.BytesIO(data), "train-000000.tar"))


def refusal(data: bytes) -> str:
    with pytest.raises(ShardError) as refused:
        found(data)
    return str(refused.value)


def test_what_is_written_is_found() -> None:
    data = plain(SAMPLES)
    assert [(each.name, data[each.offset : each.offset + each.size]) for each in found(data)] == SAMPLES
    assert all(each.offset % 512 == 0 for each in found(data))


def test_header_depends_on_name_and_size_alone() -> None:
    assert header("a.jpg", 7) == header("a.jpg", 7)
    info = tarfile.TarInfo.frombuf(header("a.jpg", 7), "utf-8", "strict")
    assert (info.name, info.size, info.mode, info.mtime, info.uid, info.gid, info.uname) == (
        "a.jpg",
        7,
        0o644,
        0,
        0,
        0,
        "",
    )
    assert parse_header(header("a.jpg", 7), "x.tar") == ("a.jpg", 7)


@pytest.mark.parametrize("length", [99, 100, 101, 160, 255])
def test_long_name_is_cut_at_a_slash(length: int) -> None:
    name = ("d" * 60 + "/" + "e" * 94 + "/" + "f" * 300)[: length - 4] + ".jpg"
    if len(name) == 101:
        name = "d/" + name[2:]
    assert [each.name for each in found(plain([(name, b"x")]))] == [name]
    with tarfile.open(fileobj=io.BytesIO(plain([(name, b"x")]))) as tar:
        assert tar.getnames() == [name]


@pytest.mark.parametrize("name", ["x" * 101, "d/" + "x" * 101, "d" * 156 + "/x.jpg", "é" * 51])
def test_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ShardError, match="is too long: ustar holds 100 bytes"):
        header(name, 0)


def test_member_of_8_gib_is_refused() -> None:
    header("a.bin", MAX_MEMBER_BYTES)
    with pytest.raises(ShardError, match="'a.bin' has 8,589,934,592 bytes; a member of a tar file has less than 8 GiB"):
        header("a.bin", MAX_MEMBER_BYTES + 1)


def test_gnu_tar_lists_and_extracts_what_is_written(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", SAMPLES)
    listed = subprocess.run(["tar", "tvf", path], capture_output=True, text=True, check=True, env={"TZ": "UTC"})
    assert listed.stderr == ""
    assert listed.stdout.splitlines()[0].split() == "-rw-r--r-- 0/0 1200 1970-01-01 00:00 cat/0001.jpg".split()
    subprocess.run(["tar", "xf", path, "-C", tmp_path], check=True)
    assert [(name, (tmp_path / name).read_bytes()) for name, _ in SAMPLES] == SAMPLES


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "v7", "oldgnu"])
def test_what_gnu_tar_writes_is_found(tmp_path: Path, form: str) -> None:
    """Directories are passed over, and `./` goes."""
    names = ["a/1.jpg", "a/1.cls"] if form in ("v7", "ustar") else ["a/" + "n" * 150 + ".jpg", "a/grün.cls"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    subprocess.run(["tar", "cf", "../a.tar", f"--format={form}", "--sort=name", "."], cwd=tmp_path / "in", check=True)
    data = (tmp_path / "a.tar").read_bytes()
    assert {each.name: data[each.offset : each.offset + each.size].decode() for each in found(data)} == {
        name: name for name in names
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes_is_found(form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in SAMPLES:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5  # a time with a fraction becomes a pax header
            tar.addfile(info, io.BytesIO(data))
    whole = buffer.getvalue()
    assert [(each.name, whole[each.offset : each.offset + each.size]) for each in found(whole)] == SAMPLES


def test_pax_header_renames_and_resizes_the_next_member_only() -> None:
    data = pax(path="größe/1.jpg".encode(), size=b"3") + forged(b"short.jpg", 0) + content(b"abc")
    data += plain([("b.cls", b"1")])
    assert [(each.name, each.size) for each in found(data)] == [("größe/1.jpg", 3), ("b.cls", 1)]


def test_comment_for_the_whole_file_is_passed_over() -> None:
    """As `git archive` writes it."""
    comment = record(b"comment", b"b83b2008e4328a1caccd8b2c385fc32c02a65dc8")
    data = forged(b"pax_global_header", len(comment), b"g") + content(comment) + plain(SAMPLES)
    assert [each.name for each in found(data)] == [name for name, _ in SAMPLES]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (b"1", "a hard link"),
        (b"2", "a symbolic link"),
        (b"3", "a character device"),
        (b"4", "a block device"),
        (b"6", "a pipe"),
        (b"S", "a sparse file"),
        (b"Z", "of the unknown type"),
    ],
)
def test_member_that_is_no_file_is_refused(kind: bytes, what: str) -> None:
    message = refusal(forged(b"cat/1.jpg", 0, kind, link=b"/etc/passwd") + END)
    assert message.startswith(f"'cat/1.jpg' in train-000000.tar: it is {what}")


@pytest.mark.parametrize(
    "name", [b"/etc/passwd", b"../a.jpg", b"a/../../b.jpg", b"a\\b.jpg", b"a\nb.jpg", b"./../a.jpg"]
)
@pytest.mark.parametrize("way", ["header", "pax", "gnu"])
def test_name_that_could_leave_the_directory_is_refused(name: bytes, way: str) -> None:
    member = {
        "header": forged(name),
        "pax": pax(path=name) + forged(b"a.jpg"),
        "gnu": forged(b"././@LongLink", len(name) + 1, b"L") + content(name + b"\0") + forged(b"a.jpg"),
    }[way]
    assert "has no relative, plain name" in refusal(member + END)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (b"hello", "it was cut short, in the header at byte 0"),
        (b"hello" * 200, "it is no tar file (the checksum of the header is wrong)"),
        (gzip.compress(plain(SAMPLES), mtime=0), "it is compressed (gzip), no plain tar file: decompress it"),
        (b"PK\x03\x04" + bytes(600), "it is compressed (zip)"),
        (plain(SAMPLES, end=b""), "it has no end mark: it was cut short, or is still being written"),
        (plain(SAMPLES)[:700], "'cat/0001.jpg' in train-000000.tar: it would end at byte 1,712 of a file of 700"),
        (plain(SAMPLES)[:2100], "in the header at byte 2,048"),
        (plain(SAMPLES) + plain(SAMPLES), "more data follows its end mark"),
        (forged(b"a.jpg", b"77777777777\0") + END, "'a.jpg' in train-000000.tar: it would end at byte 8,589,935,103"),
        (forged(b"a.jpg", b"\x80" + (1 << 40).to_bytes(11)) + END, "its header at byte 0 says a size of 8 GiB or more"),
        (forged(b"a.jpg", b"\xff" * 12) + END, "says a size of b'"),
        (forged(b"a.jpg", b"12 34      \0") + END, "says a size of b'"),
        (forged(b"a.jpg", b"-1\0") + END, "says a size of b'"),
        (forged(b"a.jpg", b"1_0\0") + END, "says a size of b'"),
        (forged(b"a.jpg", b"") + END, "says a size of b'"),
        (pax(size=b"1" * 30) + forged(b"a.jpg") + END, "says a size of b'1111"),
        (pax(size=b"99999999999") + forged(b"a.jpg") + END, "says a size of b'99999999999'"),
        (pax(size=b"8000000000") + forged(b"a.jpg") + END, "it would end at byte 8,000,001,536"),
        (pax(GNU_sparse_map=b"0,1") + forged(b"a.jpg") + END, "is a sparse file"),
        (pax(path=b"\xff.jpg") + forged(b"a.jpg") + END, "is not UTF-8"),
        (pax(path=b"n" * 5000) + forged(b"a.jpg") + END, "has 5,000 bytes"),
        (pax(path=b"a.jpg") + END, "belongs to no member"),
        (
            forged(b"x", 9, b"x") + content(b"99 path=a") + forged(b"a.jpg") + END,
            "the pax header at byte 512 is damaged",
        ),
        (forged(b"x", 2 << 20, b"x") + bytes(3 << 20), "has 2,097,152 bytes of attributes"),
        (forged(b"x", 900, b"x") + bytes(512), "it was cut short, in the attributes"),
        (forged(b"x", 15, b"g") + content(b"15 path=../a.j\n") + END, "one name or size for all members"),
        (forged(b"\xffa.jpg") + END, "is not UTF-8"),
        (forged(b"a/", 512, b"5") + bytes(512) + END, "the directory 'a/' has 512 bytes of content"),
        (forged(b"") + END, "the file at byte 512 has the name ''"),
    ],
)
def test_damaged_or_hostile_tar_is_one_clear_line(data: bytes, what: str) -> None:
    message = refusal(data)
    assert what in message and "train-000000.tar" in message and "\n" not in message


def test_flipped_bit_in_a_header_is_found() -> None:
    data = bytearray(plain(SAMPLES))
    data[512 + 1536 + 3] ^= 4
    assert "the header at byte 2,048 is damaged" in refusal(bytes(data))


def test_a_tebibyte_of_nothing_is_not_read(tmp_path: Path) -> None:
    """A sparse file of 8 GiB and a header that says so: only headers are read."""
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(forged(b"a.bin", MAX_MEMBER_BYTES))
        file.seek(512 + MAX_MEMBER_BYTES + padding(MAX_MEMBER_BYTES))
        file.write(END)
    assert os.stat(path).st_blocks < 100
    with path.open("rb") as file:
        assert list(members(file, "a.tar")) == [Member("a.bin", 512, MAX_MEMBER_BYTES)]


SEEDS = [
    plain(SAMPLES),
    pax(path=b"a/1.jpg", size=b"3") + forged(b"short.jpg") + content(b"abc") + END,
    forged(b"././@LongLink", 120, b"L")
    + content(b"n" * 115 + b".jpg\0")
    + forged(b"n" * 100, 5)
    + content(b"12345")
    + END,
]


def only_shard_errors(data: bytes) -> None:
    try:
        for each in found(data):
            assert each.name and 512 <= each.offset and each.offset + each.size <= len(data)
    except ShardError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_mutated_tar_files_are_read_or_refused(seed: int) -> None:
    """The same ones each time; half have their header checksums mended, so that more is looked at."""
    draws = random.Random(seed)
    for number in range(400):
        data = bytearray(SEEDS[seed])
        for _ in range(draws.randint(1, 4)):
            place = draws.randrange(len(data))
            match draws.randrange(4):
                case 0:
                    data[place] ^= 1 << draws.randrange(8)
                case 1:
                    data[place] = draws.choice(b"\0\xff\x80 07xLS./")
                case 2:
                    del data[place : place + draws.choice([1, 100, 512])]
                case _:
                    data[place:place] = data[place : place + draws.choice([1, 512])]
        if number % 2:
            for start in range(0, len(data) - 511, 512):
                if data[start + 257 : start + 262] == b"ustar":
                    data[start + 148 : start + 156] = b" " * 8
                    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
        only_shard_errors(bytes(data))


@given(st.binary(max_size=600))
def test_any_pax_header_is_read_or_refused(records: bytes) -> None:
    only_shard_errors(forged(b"x", len(records), b"x") + content(records) + forged(b"a.jpg", 3) + content(b"abc") + END)


@given(st.binary(max_size=100), st.binary(max_size=12), st.binary(min_size=1, max_size=1), st.binary(max_size=8))
def test_any_header_is_read_or_refused(name: bytes, size: bytes, kind: bytes, magic: bytes) -> None:
    only_shard_errors(forged(name, size, kind, magic=magic) + bytes(1024) + END)


@given(st.lists(st.tuples(st.text("abcäß/._-", min_size=1, max_size=60), st.binary(max_size=1100)), max_size=5))
def test_whatever_can_be_written_is_found_by_us_and_by_python(samples: list[tuple[str, bytes]]) -> None:
    samples = [(f"k{name.strip('/.')}", data) for name, data in samples if ".." not in name]
    data = plain(samples)
    assert [(each.name, data[each.offset : each.offset + each.size]) for each in found(data)] == samples
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(each.name, each.size) for each in tar] == [(name, len(content)) for name, content in samples]
