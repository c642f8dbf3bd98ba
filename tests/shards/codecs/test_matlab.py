"""MATLAB's files: what is written comes back, scipy and ours read each other's."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from scipy import io as scipy_io
from scipy.sparse import csc_array

from labwright.shards.codecs import CodecError, MatCodec

DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16")
SHAPES = ((0, 0), (1, 1), (2, 3), (3, 1, 2), (0, 3))


def saved(variables: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    scipy_io.savemat(buffer, variables, **options)
    return buffer.getvalue()


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8 if kind != 15 else 0)


def matrix(kind: int, shape: tuple[int, ...], *parts: bytes) -> bytes:
    lengths = struct.pack(f"<{len(shape)}i", *shape)
    return element(
        14, element(6, struct.pack("<II", kind, 0)) + element(5, lengths) + element(1, b"x") + b"".join(parts)
    )


def file(*variables: bytes) -> bytes:
    return MatCodec().encode({}) + b"".join(variables)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_come_back_and_scipy_reads_them(dtype: str) -> None:
    for shape in SHAPES:
        array = (np.arange(np.prod(shape)).reshape(shape) % 5).astype(dtype)
        array = array * (1 + 2j) if dtype.startswith("c") else array
        array = array.astype(dtype)
        data = MatCodec().encode({"x": array, "y": array.astype(np.dtype(dtype).newbyteorder(">"))})
        came = MatCodec().decode(memoryview(data))
        for name in ("x", "y"):
            assert (came[name].dtype, came[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(came[name], array)
        assert came["x"].flags.c_contiguous
        assert came["x"].flags.writeable
        np.testing.assert_array_equal(scipy_io.loadmat(io.BytesIO(data))["x"], array)


@pytest.mark.parametrize("text", ["", "abc", "größer 日本", "😀"])
def test_text_comes_back(text: str) -> None:
    data = MatCodec().encode({"x": text})
    assert MatCodec().decode(data) == {"x": text}
    assert scipy_io.loadmat(io.BytesIO(data))["x"].tolist() == ([text] if text else [])


def test_two_files_of_the_same_values_are_the_same() -> None:
    """Other writers put the time into the header."""
    assert MatCodec().encode({"x": np.eye(2)}) == MatCodec().encode({"x": np.eye(2)})
    assert MatCodec().encode({})[:6] == b"MATLAB"


@pytest.mark.parametrize("do_compression", [False, True])
def test_files_of_others_are_read(do_compression: bool) -> None:
    cell = np.empty((2, 1), object)
    cell[:, 0] = [np.eye(2), "hi"]
    structs = np.array([(1, 2.5), (3, 4.5)], [("p", "i4"), ("q", "f8")])
    variables = {
        "cell": cell,
        "struct": {"a": 1.0, "b": {"c": "x"}},
        "structs": structs,
        "sparse": csc_array([[0, 1.5], [2, 0]]),
        "flags": csc_array(np.eye(2, dtype=bool)),
        "rows": np.array(["abc", "de "]),
        "long_name_of_a_variable": np.arange(6, dtype=np.int16).reshape(2, 3),
    }
    came = MatCodec().decode(saved(variables, do_compression=do_compression))
    assert list(came) == list(variables)
    assert came["cell"].shape == (2, 1)
    assert came["cell"][1, 0] == "hi"
    assert came["struct"] == {"a": [[1.0]], "b": {"c": "x"}}
    assert came["structs"][0, 1] == {"p": [[3]], "q": [[4.5]]}
    np.testing.assert_array_equal(came["sparse"].toarray(), [[0, 1.5], [2, 0]])
    assert came["flags"].dtype == bool
    assert came["rows"] == ["abc", "de "]
    np.testing.assert_array_equal(came["long_name_of_a_variable"], [[0, 1, 2], [3, 4, 5]])


def test_numbers_stored_smaller_and_by_other_machines_are_read() -> None:
    small = matrix(6, (1, 3), element(2, b"\1\2\3"))  # MATLAB stores doubles so when they are whole
    came = MatCodec().decode(file(small))["x"]
    assert (came.dtype, came.tolist()) == (np.dtype("f8"), [[1, 2, 3]])
    content = struct.pack(">IIII IIii IBBxx IIhhxxxx", 6, 8, 12, 0, 5, 8, 1, 2, 1 << 16 | 1, 120, 0, 3, 4, -2, 300)
    other = MatCodec().encode({})[:124] + b"\1\0MI" + struct.pack(">II", 14, len(content)) + content
    assert MatCodec().decode(other)["x"].tolist() == [[-2, 300]]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (np.eye(2), "mat takes a dict of name -> array or text, not ndarray"),
        ({"x": 3.0}, r"x: MATLAB has no arrays of fewer than two axes; reshape it, as to \[1, 1\]"),
        ({"x": np.zeros(5)}, r"as to \[1, 5\]"),
        ({"2x": np.eye(2)}, "MATLAB has no variable called '2x'"),
        ({"x" * 64: np.eye(2)}, "MATLAB has no variable called"),
        ({3: np.eye(2)}, "MATLAB has no variable called 3"),
        ({"x": np.zeros((2, 2), "f2")}, "x: MATLAB has no arrays of float16"),
        ({"x": np.array([["a"]])}, "x: MATLAB has no arrays of <U1"),
        ({"x": None}, "x: MATLAB has no arrays of object"),
        ({"x": "\ud800"}, "half of a pair"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_matlab_would_change_is_refused(value: Any, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        MatCodec().encode(value)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "does not begin so"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", "7.3 is HDF5"),
        (b"MATLAB", "no MATLAB file of versions 5 to 7.2"),
        (file(element(14, b"")[:4]), "it is cut off"),
        (file(struct.pack("<II", 14, 1 << 31)), "ends behind its end"),
        (file(element(9, bytes(8))), "no array where one belongs"),
        (file(matrix(6, (1 << 30, 1 << 30), element(9, bytes(8)))), "unfolds to more bytes than allowed"),
        (file(matrix(1, (1 << 30, 1))), "unfolds to more bytes than allowed"),
        (file(matrix(2, (1 << 30, 1), element(5, b"\1\0\0\0"), element(1, b""))), "unfolds to more bytes"),
        (file(matrix(6, (2, 2), element(9, bytes(8)))), "an array of 4 values has 1"),
        (file(matrix(6, (-1, -1), element(9, bytes(8)))), "no shape"),
        (file(matrix(6, (1,), element(9, bytes(8)))), "no shape"),
        (file(matrix(6, (1, 1))), "cut off"),
        (file(matrix(8, (1, 1), element(9, struct.pack("<d", np.nan)))), "an array of integers has others"),
        (file(matrix(17, (1, 1))), "holds an object, which only MATLAB can read"),
        (file(matrix(16, (1, 1))), "holds a function"),
        (file(matrix(99, (1, 1))), "no array of class 99"),
        (file(matrix(4, (1, 1), element(9, bytes(8)))), "no text"),
        (file(element(15, zlib.compress(bytes(2 << 30 >> 6))[:90])), "cut off"),
        (file(element(15, b"junk")), "damaged MATLAB file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_and_hostile_files_are_refused(data: bytes, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        MatCodec().decode(data)


def test_cells_within_cells_end_somewhere() -> None:
    inner = matrix(1, (1, 1), element(14, b""))
    for _ in range(100):
        inner = matrix(1, (1, 1), inner)
    with pytest.raises(CodecError, match="no array where one belongs"):
        MatCodec().decode(file(inner))


def test_code_may_move_the_limit() -> None:
    bomb = file(element(15, zlib.compress(matrix(9, (1, 100_000), element(2, bytes(100_000))))))
    assert len(bomb) < 1000
    with pytest.raises(CodecError, match=r"more bytes than allowed; read it by MatCodec\(max_bytes=...\)"):
        MatCodec(max_bytes=10_000).decode(bomb)
    assert MatCodec().decode(bomb)["x"].shape == (1, 100_000)
