"""Damaged and hostile bytes: a codec decodes them or says in one line why not, within bounds of memory."""

import io
import random
import resource
import struct
import tracemalloc
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labwright.shards.codecs import Codec, CodecError, ImageCodec, codec

MASK = np.arange(35).reshape(5, 7) // 4
ARRAY = np.zeros((3, 4), [("x", "<f4"), ("y", ">i2", (2,))])
OFTEN = (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 8, b"'", b"[", b"(" * 40, b"\\", b"9" * 20)
MAX_MEMORY = 64 << 20


def picture(mode: str) -> Image.Image:
    y, x = np.mgrid[:24, :31]
    return Image.fromarray(np.stack([x * 8, y * 9, x + y], axis=-1).astype(np.uint8)).convert(mode)


def image(image_format: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def matlab(**options: Any) -> bytes:
    """A file as scipy writes it: cells, structs, sparse matrices."""
    from scipy.io import savemat
    from scipy.sparse import csc_array

    cell = np.empty((1, 2), object)
    cell[:] = [["text", np.eye(2)]]
    buffer = io.BytesIO()
    savemat(buffer, {"cell": cell, "struct": {"a": 1.5, "b": {"c": "é"}}, "sparse": csc_array(np.eye(3))}, **options)
    return buffer.getvalue()


@cache
def corpus() -> dict[str, list[bytes]]:
    """Bytes that the codecs decode."""
    return {
        "cls": [b"3", b"-9223372036854775808"],
        "txt": ["größer".encode()],
        "json": [b'{"a": [1, 2.5, null, "\\u00e9"], "b": {"c": NaN}}'],
        "npy": [codec("npy").encode(each) for each in (ARRAY, np.asfortranarray(MASK), 2.5, np.array(["text"]))],
        "rle": [codec("rle").encode(each) for each in (MASK, MASK > 3, MASK.astype(">i8"), np.zeros(0, np.uint8))],
        "seg8": [codec("seg8").encode(MASK)],
        "seg16": [codec("seg16").encode(MASK)],
        "seg24": [codec("seg24").encode(MASK)],
        "seg32": [codec("seg32").encode(MASK)],
        "mat": [codec("mat").encode({"x": MASK, "text": "é"}), matlab(), matlab(do_compression=True)],
        "jpg": [image("JPEG"), image("JPEG", progressive=True), image("JPEG", "L"), image("JPEG", "CMYK")],
        "png": [image("PNG"), image("PNG", "P", bits=4), image("PNG", "RGBA"), image("PNG", "1")],
        "webp": [image("WEBP"), image("WEBP", lossless=True), image("WEBP", "RGBA")],
        "tiff": [image("TIFF"), image("TIFF", compression="tiff_lzw"), image("TIFF", compression="jpeg")],
        "gif": [image("GIF"), image("GIF", "L")],
        "bmp": [image("BMP"), image("BMP", "P")],
        "ppm": [image("PPM"), image("PPM", "1"), b"P3 2 1 255 1 2 3 4 5 6 "],
    }


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to three wounds, mostly near its beginning, where the headers are."""
    wounded = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = int(len(wounded) * chance.random() ** 3)
        kind = chance.randrange(6)
        if kind == 0 and wounded:
            wounded[min(place, len(wounded) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del wounded[place:]
        elif kind == 2:
            del wounded[place : place + chance.randrange(1, 9)]
        elif kind == 3:
            wounded[place:place] = chance.choice(OFTEN)
        elif kind == 4:
            often = chance.choice(OFTEN)
            wounded[place : place + len(often)] = often
        else:
            number = struct.pack(chance.choice("<>") + "I", chance.choice((0, 1, 255, 65_536, 2**31 - 1, 2**32 - 1)))
            wounded[place : place + 4] = number
    return bytes(wounded)


def wounds(name: str, count: int) -> Iterator[bytes]:
    chance = random.Random(name)
    seeds = corpus()[name]
    yield from seeds
    for _ in range(count):
        yield mutated(chance.choice(seeds), chance)


def survive(chosen: Codec, data: bytes) -> None:
    """Decode `data`, or be told in one line why not."""
    try:
        chosen.decode(memoryview(data))
    except CodecError as error:
        assert str(error)
        assert len(str(error).splitlines()) == 1, repr(str(error))


@pytest.mark.parametrize("name", corpus())
def test_damaged_bytes_are_decoded_or_refused(name: str) -> None:
    chosen = codec(name)
    for data in corpus()[name]:
        chosen.decode(data)
    for data in wounds(name, 40):
        survive(chosen, data)


@pytest.mark.slow
@given(st.sampled_from(sorted(corpus())), st.randoms(use_true_random=False))
def test_what_hypothesis_makes_of_bytes_is_decoded_or_refused(name: str, chance: random.Random) -> None:
    survive(codec(name), mutated(chance.choice(corpus()[name]), chance))


@pytest.mark.slow
@pytest.mark.parametrize("name", corpus())
def test_many_damaged_bytes_are_decoded_or_refused_within_bounds_of_memory(name: str) -> None:
    chosen = ImageCodec(name, max_pixels=1 << 20) if name in ImageCodec.names else codec(name)
    if hasattr(chosen, "max_bytes"):
        chosen.max_bytes = 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in wounds(name, 1500):
        survive(chosen, data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_MEMORY >> 10


@pytest.mark.parametrize("name", ["npy", "rle", "mat", "json", "cls", "txt"])
def test_what_bytes_say_of_themselves_is_not_believed(name: str) -> None:
    """No memory is taken for what is not there."""
    seeds = wounds(name, 40)
    tracemalloc.start()
    try:
        for data in seeds:
            survive(codec(name), data)
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()
