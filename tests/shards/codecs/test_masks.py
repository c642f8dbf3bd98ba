"""Masks come back exactly, as run lengths and as PNG images of 8 to 32 bits."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from labwright.shards.codecs import CodecError, RleCodec, SegCodec

INTEGERS = ("i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8")
MASKS = arrays.arrays(
    st.sampled_from(["?", *INTEGERS]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0),
    elements={"min_value": 0, "max_value": 3},
)


def runs(
    code: int, shape: list[int], table: bytes, places_and_lengths: list[int], *, width: int = 1, shape_bytes: int = -1
) -> bytes:
    shape_bytes = 8 * len(shape) if shape_bytes < 0 else shape_bytes
    counts = np.array(places_and_lengths, f"<u{width}").tobytes()
    head = bytes([code]) + shape_bytes.to_bytes(8, "big") + len(table).to_bytes(8, "big")
    return head + np.array(shape, "<u8").tobytes() + table + counts


@settings(max_examples=60)
@given(MASKS)
def test_run_lengths_come_back(mask: np.ndarray) -> None:
    came = RleCodec().decode(memoryview(RleCodec().encode(mask)))
    assert (came.dtype, came.shape, came.flags.writeable) == (mask.dtype, mask.shape, True)
    np.testing.assert_array_equal(came, mask)


@pytest.mark.parametrize("dtype", ["?", *INTEGERS])
def test_the_ends_of_every_dtype_come_back(dtype: str) -> None:
    ends = [False, True] if dtype == "?" else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    mask = np.repeat(np.array(ends, dtype), 70_000).reshape(-1, 1000)
    came = RleCodec().decode(RleCodec().encode(mask))
    assert came.dtype == mask.dtype
    np.testing.assert_array_equal(came, mask)
    assert len(RleCodec().encode(mask)) < 70


def test_quix_reads_and_writes_the_same_bytes() -> None:
    """As its encoder writes them: uint8, runs of uint8; the shape and the table, then places, then lengths."""
    mask = np.array([[0, 0, 7], [7, 7, 0]], np.uint8)
    data = runs(0b0000_0000, [2, 3], b"\0\7", [0, 1, 0, 2, 3, 1])
    assert RleCodec().encode(mask) == data
    np.testing.assert_array_equal(RleCodec().decode(data), mask)
    wide = runs(0b0101_0001, [300], np.array([-1], "<i4").tobytes(), [0, 300], width=2)
    assert RleCodec().encode(np.full(300, -1, np.int32)) == wide


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "cut off"),
        (bytes(16), "cut off"),
        (runs(0b0000_1000, [1], b"\0", [0, 1]), "do not begin so"),
        (runs(0b1001_0000, [1], b"\0", [0, 1]), "do not begin so"),
        (runs(0, [1], b"\0", [0, 1], shape_bytes=1 << 60), "cut off, or damaged"),
        (runs(0, [1], b"\0", [0, 1], shape_bytes=7), "cut off, or damaged"),
        (runs(0, [1] * 65, b"\0", [0, 1]), "cut off, or damaged"),
        (runs(0, [1], b"\0", [0, 1, 0]), "cut off, or damaged"),
        (runs(0, [1], b"", [0, 1]), "values that are not in their table"),
        (runs(0, [1], b"\0", [1, 1]), "values that are not in their table"),
        (runs(0, [2], b"\0", [0, 1]), r"do not fill the mask \[2\]"),
        (runs(0, [0], b"\0", [0, 1]), "do not fill"),
        (runs(0, [4], b"\0", [0, 0, 2**63, 2**63], width=8), "cut off|do not fill|do not begin"),
        (runs(0b11, [4], b"\0", [0, 0, 2**63, 2**63 + 4], width=8), "do not fill"),
        (runs(0b11, [1 << 40], b"\0", [0, 1 << 40], width=8), r"\[1099511627776\] has more than 1073741824 bytes"),
        (runs(0b11, [1 << 62] * 64, b"\0", [0, 1], width=8), "more than 1073741824 bytes"),
        (runs(0b11, [0, 1 << 63, 1 << 62], b"", []), "cannot be"),
        (runs(0b1000_0000, [1], b"\2", [0, 1]), "neither 0 nor 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_run_lengths_are_refused_before_memory_is_taken(data: bytes, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        RleCodec().decode(data)


def test_code_may_move_the_limit() -> None:
    data = RleCodec().encode(np.zeros(1000, bool))
    with pytest.raises(CodecError, match=r"more than 999 bytes; read it by RleCodec\(max_bytes=...\)"):
        RleCodec(max_bytes=999).decode(data)
    assert RleCodec(max_bytes=1000).decode(data).shape == (1000,)


@pytest.mark.parametrize("value", [np.zeros(3), "mask", [[1], [2, 3]], np.ma.masked_array([1]), None])
def test_run_lengths_are_of_integers_and_bools(value: Any) -> None:
    with pytest.raises(CodecError, match="rle takes an array of integers or bools"):
        RleCodec().encode(value)


@pytest.mark.parametrize(("bits", "dtype"), [(8, "u1"), (16, "u2"), (24, "u4"), (32, "u4")])
@pytest.mark.parametrize("given_dtype", ["<u4", ">u8", "<i8"])
def test_segmentation_masks_come_back(bits: int, dtype: str, given_dtype: str) -> None:
    codec = SegCodec(f"seg{bits}")
    mask = np.random.default_rng(bits).integers(0, 1 << bits, (9, 14)).astype(given_dtype)
    mask[0, :4] = 0, 1, (1 << bits) - 1, (1 << bits - 1)
    came = codec.decode(memoryview(codec.encode(mask)))
    assert came.dtype == np.dtype(dtype)
    assert came.flags.c_contiguous
    assert came.flags.writeable
    np.testing.assert_array_equal(came, mask)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_a_segmentation_mask_is_a_png_image_that_any_viewer_opens(bits: int) -> None:
    data = SegCodec(f"seg{bits}").encode(np.array([[0x01020304 & ((1 << bits) - 1)]]))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("PNG", {8: "L", 16: "I;16", 24: "RGB", 32: "RGBA"}[bits])
    assert image.getpixel((0, 0)) == {8: 4, 16: 0x0304, 24: (2, 3, 4), 32: (1, 2, 3, 4)}[bits]


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("dtype", ["?", "u1", "i8"])
def test_small_masks_fit_every_width(bits: int, dtype: str) -> None:
    codec = SegCodec(f"seg{bits}")
    assert codec.decode(codec.encode(np.ones((1, 1), dtype))).tolist() == [[1]]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("seg8", np.array([[256]]), "seg8 holds 0 to 255; the mask has 256"),
        ("seg8", np.array([[-1]]), "seg8 holds 0 to 255; the mask has -1"),
        ("seg16", np.array([[65536]]), "seg16 holds 0 to 65535; the mask has 65536"),
        ("seg24", np.array([[1 << 24]]), "seg24 holds 0 to 16777215; the mask has 16777216"),
        ("seg32", np.array([[2**64 - 1]], np.uint64), "seg32 holds 0 to 4294967295; the mask has 18446744073709551615"),
        ("seg8", np.zeros((1, 1)), "seg8 takes an array of integers or bools, without a mask; not float64"),
        ("seg8", np.zeros((2, 2, 1), int), r"seg8 takes a mask \[height, width\] with pixels, not \[2, 2, 1\]"),
        ("seg8", np.zeros((0, 2), int), r"not \[0, 2\]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_masks_that_do_not_fit_are_refused(name: str, value: np.ndarray, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        SegCodec(name).encode(value)


def test_the_palette_of_a_mask_is_no_matter() -> None:
    """Pascal VOC has its masks so: the numbers of the colours are the classes."""
    image = Image.fromarray(np.array([[0, 3, 3, 1]], np.uint8))
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    for bits in (2, 8):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", bits=bits)
        assert SegCodec("seg8").decode(buffer.getvalue()).tolist() == [[0, 3, 3, 1]]


def test_a_mask_of_another_width_is_refused() -> None:
    with pytest.raises(CodecError, match="none of 16 bits a pixel, as seg16 has"):
        SegCodec("seg16").decode(SegCodec("seg8").encode(np.ones((2, 2), int)))
    with pytest.raises(CodecError, match="no bytes, where PNG belongs"):
        SegCodec("seg8").decode(b"")
    with pytest.raises(ValueError, match="'seg9' is none of seg8, seg16"):
        SegCodec("seg9")
