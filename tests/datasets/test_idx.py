import gzip
import hashlib
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.args import UserError
from labwright.datasets.idx import read_idx

WriteIdx = Callable[[Path, np.ndarray], Path]


def idx_bytes(*shape: int, magic: int = 2051, values: bytes | None = None) -> bytes:
    payload = bytes(int(np.prod(shape))) if values is None else values
    return struct.pack(f">{len(shape) + 1}I", magic, *shape) + payload


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("name", ["values", "values.gz"])
def test_array_comes_back_as_written(tmp_path: Path, write_idx: WriteIdx, dtype: str, name: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)

    read = read_idx(write_idx(tmp_path / name, array))

    assert read.array.dtype == array.dtype
    np.testing.assert_array_equal(read.array, array)


def test_checksum_is_of_the_content_and_not_of_its_compression(tmp_path: Path, write_idx: WriteIdx) -> None:
    array = np.arange(10, dtype=np.uint8)
    raw = write_idx(tmp_path / "raw", array)

    expected = hashlib.sha256(raw.read_bytes()).hexdigest()

    assert read_idx(raw).sha256 == read_idx(write_idx(tmp_path / "packed.gz", array)).sha256 == expected


def test_gzip_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx_bytes(2, 3, 3)))

    assert read_idx(path).array.shape == (2, 3, 3)


BAD = {
    "nothing": (b"", "is not an IDX file: it starts with nothing"),
    "text": (b"<html>not found</html>", "is not an IDX file: it starts with 3c 68 74 6d"),
    "unknown type": (b"\0\0\x07\x01" + bytes(8), "is not an IDX file"),
    "end in header": (idx_bytes(2, 3, 3)[:9], "ends within its header"),
    "wrong magic": (idx_bytes(5, magic=2049), "has the magic number 2049, expected 2051 (images)"),
    "truncated": (idx_bytes(2, 3, 3)[:-1], "2 x 3 x 3 values (18 bytes), more than the file can hold"),
    "trailing": (idx_bytes(2, 3, 3) + b"x", "but more bytes follow"),
    "huge": (idx_bytes(2**31, 2**31, 2**31, values=b""), "more than the 1,073,741,824 bytes that are read"),
    "huge beside zero": (idx_bytes(0, 2**31, 2**31), "more than the 1,073,741,824 bytes that are read"),
    "gzip: truncated": (gzip.compress(idx_bytes(200, 3, 3))[:-20], "is not an intact gzip file"),
    "gzip: fewer values": (gzip.compress(idx_bytes(2, 3, 3)[:-1]), "but only 17 bytes follow"),
    "gzip: trailing": (gzip.compress(idx_bytes(2, 3, 3) + b"x"), "but more bytes follow"),
    "gzip: garbage behind": (gzip.compress(idx_bytes(2, 3, 3)) + b"garbage", "is not an intact gzip file"),
    "gzip: impossible ratio": (gzip.compress(idx_bytes(60000, 28, 28, values=b"")), "more than the file can hold"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_bad_file_is_one_line_that_names_it(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images"
    path.write_bytes(content)

    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_idx(path, magic=2051)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flipped_bit_in_gzip_is_found(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(idx_bytes(3, 28, 28, values=np.random.default_rng(0).bytes(3 * 784))))
    packed[len(packed) // 2] ^= 1
    path = tmp_path / "images.gz"
    path.write_bytes(packed)

    with pytest.raises(UserError):
        read_idx(path)


def test_gzip_bomb_uses_no_more_memory_than_its_header_announces(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(2, 3, 3) + bytes(100_000_000)))

    tracemalloc.start()
    with pytest.raises(UserError, match="more bytes follow"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 5_000_000


def test_missing_file_and_directory_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_idx(tmp_path / "missing")
    with pytest.raises(UserError, match="Is a directory"):
        read_idx(tmp_path)


headers = st.builds(
    lambda dtype, sizes: bytes([0, 0, dtype, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes),
    st.sampled_from([0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E]),
    st.lists(st.integers(0, 6) | st.integers(0, 2**32 - 1), max_size=4),
)
contents = st.binary(max_size=60) | st.builds(lambda header, tail: header + tail, headers, st.binary(max_size=60))


@given(content=contents | contents.map(gzip.compress) | contents.map(lambda raw: gzip.compress(raw)[:-3]))
def test_any_bytes_give_an_array_or_a_user_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(content)
    try:
        array = read_idx(path).array
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert array.nbytes <= 60
