"""`.npy`: every dtype and shape comes back; headers are read within bounds."""

import io
import tracemalloc
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labwright.shards.codecs import CodecError, Layout, NpyCodec

ANY_DTYPE = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="?")
    | arrays.unsigned_integer_dtypes(endianness="?")
    | arrays.floating_dtypes(endianness="?")
    | arrays.complex_number_dtypes(endianness="?")
    | arrays.datetime64_dtypes()
    | arrays.timedelta64_dtypes()
    | arrays.byte_string_dtypes()
    | arrays.unicode_string_dtypes(endianness="?")
)
ANY_ARRAY = arrays.arrays(
    ANY_DTYPE | arrays.array_dtypes(ANY_DTYPE, max_size=3), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)
)


def assert_same(came: np.ndarray, array: np.ndarray) -> None:
    assert (came.dtype, came.shape) == (array.dtype, array.shape)
    assert came.flags.f_contiguous == array.flags.f_contiguous
    assert came.flags.writeable
    np.testing.assert_array_equal(came, array)


def header(text: str, version: bytes = b"\1\0", values: bytes = b"") -> bytes:
    """The bytes of an array whose header says `text`."""
    length = len(text).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + length + text.encode() + values


def says(descr: str = "'<f4'", order: str = "False", shape: str = "()") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4), (2, 0, 3), (1, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_and_shape_comes_back(shape: tuple[int, ...], order: Literal["C", "F"]) -> None:
    numbers = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
    for dtype in ("?", *(end + each for each in numbers for end in "<>"), "<M8[ns]", ">m8[D]", "S3", "<U2", ">U2"):
        array = np.array(np.arange(np.prod(shape)).reshape(shape) * 37 % 101, dtype, order=order)
        assert_same(NpyCodec().decode(memoryview(NpyCodec().encode(array))), array)


@pytest.mark.parametrize("name", ["\U00018d09", "\U0010ffff", "\u0378", "\x7f", "'\"\\\n"])
def test_names_that_numpy_escapes_come_back(name: str) -> None:
    array = np.zeros(2, [(name, "?")])
    assert_same(NpyCodec().decode(NpyCodec().encode(array)), array)


@pytest.mark.slow
@given(ANY_ARRAY, st.booleans())
def test_arrays_come_back_and_numpy_reads_them(array: np.ndarray, is_fortran: bool) -> None:
    array = np.asfortranarray(array) if is_fortran else array
    data = NpyCodec().encode(array)
    assert_same(NpyCodec().decode(memoryview(data)), array)
    assert_same(np.load(io.BytesIO(data)), array)  # as NumPy's own reader sees it


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype(np.longdouble),
        np.dtype([("x", "<f4"), ("y", ">i2", (2, 3))]),
        np.dtype([("größe", "u1")]),
        np.dtype([("大きさ", "u1"), ("inner", [("é", "c16")])]),
        np.dtype([("x", "u1"), ("y", "f8")], align=True),
        np.dtype({"names": ["x"], "formats": ["u1"], "itemsize": 8}),
        np.dtype("V3"),
    ],
    ids=str,
)
def test_rarer_dtypes_come_back(dtype: np.dtype) -> None:
    array = (
        np.arange(6 * dtype.itemsize, dtype=np.uint8).view(dtype).reshape(2, 3) if dtype.names else np.ones(3, dtype)
    )
    assert_same(NpyCodec().decode(NpyCodec().encode(array)), array)


def test_gaps_between_fields_are_written_as_zeros() -> None:
    """NumPy writes there what the memory held before: no two files would be the same."""
    dtype = np.dtype([("x", "u1"), ("y", "f8")], align=True)
    array = np.frombuffer(b"\xff" * 64, dtype)
    assert NpyCodec().encode(array)[-15:-8] == bytes(7)


def test_numbers_lists_and_tensors_become_arrays() -> None:
    assert_same(NpyCodec().decode(NpyCodec().encode(2.5)), np.array(2.5))
    assert_same(NpyCodec().decode(NpyCodec().encode([[1, 2]])), np.array([[1, 2]]))
    assert_same(NpyCodec().decode(NpyCodec().encode(torch.arange(3))), np.arange(3))


def test_a_view_with_steps_comes_back_row_by_row() -> None:
    array = np.arange(24).reshape(4, 6)[::2, ::-3]
    assert_same(NpyCodec().decode(NpyCodec().encode(array)), array.copy())


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (np.array([None]), "Python objects needs pickle"),
        (np.zeros(1, [("x", "O")]), "Python objects needs pickle"),
        (np.ma.masked_array([1], [True]), "without a mask"),
        ("text", "npy takes an array without a mask, or a number, not str; a file is given as a Path"),
        ([[1], [1, 2]], "no array can be made of it"),
        (torch.zeros(2, dtype=torch.bfloat16), "no array can be made of it"),
        (torch.zeros(2, requires_grad=True), "no array can be made of it"),
        (np.zeros(2, []), "npy does not keep the dtype"),
        (np.zeros(2, [("x" * 10_000, "u1")]), "more than 10000 bytes"),
        (np.zeros(2, [("x" * 70_000, "u1")]), "npy cannot hold it"),
    ],
    ids=["object", "object inside", "masked", "text", "ragged", "bfloat16", "gradient", "nothing", "long", "longer"],
)
def test_what_npy_cannot_keep_is_refused(value: Any, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        NpyCodec().encode(value)


def test_bfloat16_of_numpy_is_refused_as_it_would_come_back_as_bytes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(CodecError, match="npy does not keep the dtype bfloat16"):
        NpyCodec().encode(np.zeros(2, ml_dtypes.bfloat16))


def test_arrays_of_numpy_1_and_of_python_2_are_read() -> None:
    one = b"\x93NUMPY\x01\x00v\x00{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }"
    one = one.ljust(127) + b"\n" + np.arange(6, dtype="<i4").tobytes()  # by NumPy 1.26.4
    np.testing.assert_array_equal(NpyCodec().decode(one), np.arange(6).reshape(3, 2).T)
    two = header("{'descr': '>f8', 'fortran_order': False, 'shape': (1L,), }\n", values=np.array(2.5, ">f8").tobytes())
    assert NpyCodec().decode(two).tolist() == [2.5]


@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_each_version_of_the_header_is_read(version: bytes) -> None:
    data = header(says(shape="(2,)"), version, bytes(8))
    assert_same(NpyCodec().decode(data), np.zeros(2, np.float32))
    assert NpyCodec.layout(data) == Layout(np.dtype("<f4"), (2,), len(data) - 8)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "does not begin"),
        (b"\x93NUMPY\x01", "does not begin"),
        (header(says(), b"\4\0"), "version 4.0; known are"),
        (header(says())[:30], "cut off, or too long"),
        (header(says(), values=b"123"), r"\[\] of float32 take 4 bytes; there are 3"),
        (header(says(), values=b"12345"), "take 4 bytes; there are 5"),
        (header(says(shape="(1099511627776,)")), "take 4398046511104 bytes; there are 0"),
        (header(says("'|S999999999'", shape="(99, 0)")), ""),
        (header(says(shape="(0, 99999999999999999999)")), "more axes, or longer ones"),
        (header(says(shape="(0, 9223372036854775807, 9)")), "no array can be"),
        (header(says(shape=f"({'1,' * 65})"), values=bytes(4)), "more axes"),
        (header(says(shape="(-1,)")), "damaged"),
        (header(says(shape="(True,)"), values=bytes(4)), "no shape"),
        (header(says(shape="[1]"), values=bytes(4)), "no shape"),
        (header(says(order="0"), values=bytes(4)), "no order"),
        (header(says("'|O'"), values=bytes(8)), "Python objects"),
        (header(says("[('x', '|O')]"), values=bytes(8)), "Python objects"),
        (header(says("'<U0'", shape="(1000000000000,)")), "dtype of no bytes"),
        (header(says("'a5'"), values=bytes(5)), "no dtype called 'a5'"),
        (header(says("'f4,f4'"), values=bytes(8)), "no dtype called"),
        (header(says("[('x', '<f4', (999999999, 999999999))]")), "damaged"),
        (header(says("'|b1'"), values=b"\2"), "neither 0 nor 1"),
        (header(says("__import__('os')")), "damaged"),
        (header(says(r"'\N{DIGIT ONE}'")), "damaged"),
        (header(says(r"'\d'")), "damaged"),
        (header("[" * 5000), "damaged"),
        (header("{}"), "damaged"),
        (header("{[]: 1}"), "damaged"),
        (header(says() * 2), "damaged"),
        (header(says() + " " * 10_000), "cut off, or too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "header",
)
def test_hostile_headers_are_refused(data: bytes, line: str) -> None:
    tracemalloc.start()
    try:
        if line:
            with pytest.raises(CodecError, match=line):
                NpyCodec().decode(data)
        else:
            assert NpyCodec().decode(data).size == 0
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_layout_says_where_the_values_lie() -> None:
    array = np.arange(6, dtype=">i2").reshape(2, 3)
    data = NpyCodec().encode(array)
    layout = NpyCodec.layout(data[:200])
    assert layout == Layout(array.dtype, (2, 3), 128)
    np.testing.assert_array_equal(np.frombuffer(data, layout.dtype, offset=layout.start).reshape(layout.shape), array)


@pytest.mark.parametrize(
    "head",
    [
        NpyCodec().encode(np.asfortranarray(np.ones((2, 3)))),
        NpyCodec().encode(np.ones(3))[:100],
        header(says("'|O'")),
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["columns first", "cut off", "objects", "nothing", "an image"],
)
def test_there_is_no_layout_of_what_cannot_be_gathered(head: bytes) -> None:
    assert NpyCodec.layout(head) is None
