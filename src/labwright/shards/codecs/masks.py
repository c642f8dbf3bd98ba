"""Segmentation masks: run lengths, and PNG images whose pixels are numbers of classes."""

import math
from typing import Any

import numpy as np

from .base import Codec, CodecError, refusal
from .formats import PNG
from .images import MAX_PIXELS, open_image, save_png

MAX_BYTES = 1 << 30
"""Of a mask that run lengths unfold to, unless code says otherwise."""


class RleCodec(Codec):
    """Run lengths of a mask of integers or bools, of any shape, in quix's format.

    A byte of dtypes, the lengths of the next two parts (8 bytes each, the most significant first), the shape (8 bytes
    an axis), the table of values, the runs' places in that table, and the runs' lengths. The byte is `0bBTTS00CC`:
    values of `1 << TT` bytes, signed or not, counts of `1 << CC`. quix leaves B clear; with it, values have their most
    significant byte first, or (TT and S 0) are bools.
    """

    names = ("rle",)

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes

    def encode(self, value: Any) -> bytes:
        array = _to_mask("rle", value)
        flat = array.reshape(-1)
        starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1]))) if flat.size else np.empty(0, np.int64)
        lengths = np.diff(starts, append=flat.size)
        table, places = np.unique(flat[starts], return_inverse=True)
        counts = np.min_scalar_type(max(len(table), int(lengths.max(initial=0))))
        runs = np.stack((places.reshape(-1), lengths)).astype(counts.newbyteorder("<"))
        shape = np.array(array.shape, "<u8").tobytes()
        values = table.astype(array.dtype).tobytes()
        head = bytes([_dtype_code(array.dtype) << 4 | counts.itemsize.bit_length() - 1])
        head += len(shape).to_bytes(8, "big") + len(values).to_bytes(8, "big")
        return b"".join((head, shape, values, runs.tobytes()))

    def decode(self, data: bytes | memoryview) -> np.ndarray:
        if len(data) < 17:
            raise CodecError("the run lengths are cut off")
        dtype, counts = _dtypes(data[0])
        shape_end = 17 + int.from_bytes(data[1:9], "big")
        table_end = shape_end + int.from_bytes(data[9:17], "big")
        if (
            shape_end - 17 > 8 * 64  # axes
            or table_end > len(data)
            or (shape_end - 17) % 8
            or (table_end - shape_end) % dtype.itemsize
            or (len(data) - table_end) % (2 * counts.itemsize)
        ):
            raise CodecError("the run lengths are cut off, or damaged")
        shape = tuple(map(int, np.frombuffer(data[17:shape_end], "<u8")))
        table = np.frombuffer(data[shape_end:table_end], dtype)
        places, lengths = np.frombuffer(data[table_end:], counts).reshape(2, -1)
        if dtype.kind == "b" and table.view(np.uint8).max(initial=0) > 1:
            raise CodecError("a bool is neither 0 nor 1")
        size = math.prod(shape)
        if size * dtype.itemsize > self.max_bytes:
            raise CodecError(
                f"the mask {_shown(shape)} has more than {self.max_bytes} bytes; read it by RleCodec(max_bytes=...)"
            )
        if len(places) and int(places.max()) >= len(table):
            raise CodecError("the run lengths name values that are not in their table")
        # No run is longer than the mask, so that the sum of the lengths cannot overflow.
        if lengths.max(initial=0) > size or lengths.sum(dtype=np.uint64) != size:
            raise CodecError(f"the run lengths do not fill the mask {_shown(shape)}")
        try:
            return np.repeat(table[places.astype(np.intp)], lengths.astype(np.intp)).reshape(shape)
        except ValueError as error:  # more axes than NumPy has
            raise CodecError(f"the mask {_shown(shape)} cannot be: {error}") from None

    def check(self, head: bytes) -> None:
        if len(head) < 17:
            raise CodecError("no run lengths: too short")
        _dtypes(head[0])
        if int.from_bytes(head[1:9], "big") % 8:
            raise CodecError("no run lengths: they do not begin so")


class SegCodec(Codec):
    """A mask [height, width] of classes from 0, as a PNG image of 8, 16, 24 or 32 bits: uint8, uint16 or uint32."""

    names = ("seg8", "seg16", "seg24", "seg32")
    releases_gil = True

    def __init__(self, name: str, *, max_pixels: int = MAX_PIXELS) -> None:
        if name not in type(self).names:
            raise ValueError(f"SegCodec: {name!r} is none of {', '.join(type(self).names)}")
        self.names = (name,)
        self.num_bits = int(name.removeprefix("seg"))
        self.max_pixels = max_pixels

    def encode(self, value: Any) -> bytes:
        mask = _to_mask(self.names[0], value)
        if mask.ndim != 2 or not mask.size:
            raise CodecError(f"{self.names[0]} takes a mask [height, width] with pixels, not {_shown(mask.shape)}")
        low, high = int(mask.min()), int(mask.max())
        if low < 0 or high >> self.num_bits:
            raise CodecError(
                f"{self.names[0]} holds 0 to {(1 << self.num_bits) - 1}; the mask has {low if low < 0 else high}"
            )
        if self.num_bits == 8:
            return save_png(mask.astype(np.uint8))
        if self.num_bits == 16:
            return save_png(mask.astype(np.uint16))
        octets = np.ascontiguousarray(mask, ">u4").view(np.uint8).reshape(*mask.shape, 4)
        return save_png(octets[..., 1:] if self.num_bits == 24 else octets)

    def decode(self, data: bytes | memoryview) -> np.ndarray:
        self.check(bytes(data[:64]))
        pixels = open_image(PNG, data, self.max_pixels, indices=True)
        if self.num_bits <= 16:
            return pixels.astype(f"u{self.num_bits // 8}", copy=False)
        octets = np.zeros((*pixels.shape[:2], 4), np.uint8)
        octets[..., 4 - pixels.shape[2] :] = pixels
        return octets.view(">u4")[..., 0].astype(np.uint32)

    def check(self, head: bytes) -> None:
        """Of PNG, the layout of pixels that holds these bits; 8 bits also as numbers of a palette, as VOC has them."""
        PNG.check(head)
        if tuple(head[24:26]) not in _PNG_PIXELS[self.num_bits]:
            raise CodecError(f"the PNG image is none of {self.num_bits} bits a pixel, as {self.names[0]} has")


_PNG_PIXELS = {8: {(8, 0), (1, 0), (8, 3), (4, 3), (2, 3), (1, 3)}, 16: {(16, 0)}, 24: {(8, 2)}, 32: {(8, 6)}}
"""Bits a sample and colour type in the header of a PNG image."""


def _to_mask(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except Exception as error:  # `__array__` belongs to others
        raise refusal(name, "an array of integers or bools", value) from error
    if array.dtype.kind not in "iub" or isinstance(value, np.ma.MaskedArray):
        raise CodecError(f"{name} takes an array of integers or bools, without a mask; not {array.dtype}")
    return array


def _dtype_code(dtype: np.dtype) -> int:
    if dtype.kind == "b":
        return 0b1000
    swapped = dtype.itemsize > 1 and dtype == dtype.newbyteorder(">")
    return swapped << 3 | (dtype.itemsize.bit_length() - 1) << 1 | (dtype.kind == "i")


def _dtypes(code: int) -> tuple[np.dtype, np.dtype]:
    """Of the values, and of the runs."""
    swapped, width, kind = code >> 7, 1 << (code >> 5 & 3), "ui"[code >> 4 & 1]
    if code & 0b1100 or (swapped and width == 1 and kind == "i"):
        raise CodecError("no run lengths: they do not begin so")
    values = np.dtype("?" if swapped and width == 1 else f"{'<>'[swapped]}{kind}{width}")
    return values, np.dtype(f"<u{1 << (code & 3)}")


def _shown(shape: tuple[int, ...]) -> str:
    return str(list(shape[:8]))
