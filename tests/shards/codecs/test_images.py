"""Images come back exactly where their format can, and are counted before they are decoded."""

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from labwright.shards.codecs import CodecError, ImageCodec
from labwright.shards.codecs.formats import JPEG
from labwright.shards.codecs.images import _simplejpeg, open_image

GREY, GREY_ALPHA, RGB, RGBA = ("u1", ()), ("u1", (2,)), ("u1", (3,)), ("u1", (4,))
BOOL, DEEP, INT, FLOAT = ("?", ()), ("u2", ()), ("i4", ()), ("f4", ())
EXACT = {
    "png": [BOOL, GREY, GREY_ALPHA, RGB, RGBA, DEEP],
    "tiff": [BOOL, GREY, GREY_ALPHA, RGB, RGBA, DEEP, INT, FLOAT],
    "webp": [RGB, RGBA],
    "bmp": [BOOL, GREY, RGB],
    "ppm": [BOOL, GREY, RGB, DEEP],
}


def pixels(dtype: str, channels: tuple[int, ...], size: tuple[int, int] = (7, 13)) -> np.ndarray:
    rng = np.random.default_rng(0)
    if dtype == "f4":
        return rng.normal(size=(*size, *channels)).astype("f4")
    kind = np.dtype(dtype)
    top = 2 if dtype == "?" else np.iinfo(kind).max
    return rng.integers(0, top, (*size, *channels)).astype(kind)


def picture(size: tuple[int, int] = (40, 56)) -> Image.Image:
    """Something smooth, as photographs are."""
    y, x = np.mgrid[: size[0], : size[1]]
    return Image.fromarray(np.stack([x * 4, y * 6, (x + y) * 2], axis=-1).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int = 8, colours: int = 0) -> bytes:
    """A PNG image of that size whose pixels are not there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = (struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in (header, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("name", EXACT)
def test_pixels_come_back_exactly(name: str) -> None:
    for dtype, channels in EXACT[name]:
        for size in ((1, 1), (7, 13)):
            array = pixels(dtype, channels, size)
            came = ImageCodec(name).decode(memoryview(ImageCodec(name).encode(array)))
            assert (came.dtype, came.shape) == (array.dtype, array.shape)
            assert came.flags.c_contiguous
            assert came.flags.writeable
            np.testing.assert_array_equal(came, array)


def test_colours_below_full_transparency_are_kept() -> None:
    array = pixels("u1", (4,))
    array[..., 3] = 0
    for name in ("png", "webp", "tiff"):
        np.testing.assert_array_equal(ImageCodec(name).decode(ImageCodec(name).encode(array)), array)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_jpeg_comes_back_nearly(channels: tuple[int, ...]) -> None:
    array = np.array(picture())[..., 0] if not channels else np.array(picture())
    came = ImageCodec("jpg").decode(ImageCodec("jpg").encode(array))
    assert (came.dtype, came.shape) == (array.dtype, array.shape)
    assert np.abs(came.astype(int) - array).mean() < 3


def test_images_of_pillow_and_tensors_are_taken() -> None:
    np.testing.assert_array_equal(ImageCodec("png").decode(ImageCodec("png").encode(picture())), np.array(picture()))
    tensor = torch.arange(12, dtype=torch.uint8).reshape(3, 4)
    np.testing.assert_array_equal(ImageCodec("png").decode(ImageCodec("png").encode(tensor)), tensor.numpy())
    palette = picture().convert("P")
    assert ImageCodec("png").decode(ImageCodec("png").encode(palette)).shape == (40, 56, 3)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "jpg",
            pixels(*RGBA),
            r"jpg holds uint8 \[height, width\], uint8 \[height, width, 3\]; not uint8 \[7, 13, 4\]",
        ),
        ("png", pixels(*FLOAT), r"not float32 \[7, 13\]"),
        ("tif", np.zeros((3, 4)), "not float64"),
        ("png", np.zeros((3, 4, 1), np.uint8), r"not uint8 \[3, 4, 1\]"),
        ("png", np.zeros((3, 0), np.uint8), "an array with pixels"),
        ("png", "photo.png", "not str"),
        ("png", [[1], [2, 3]], "not list"),
        ("gif", pixels(*GREY), "holds nothing; it is only read"),
        ("webp", np.zeros((1, 20_000, 3), np.uint8), "Pillow cannot write"),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray) else str(value),
)
def test_pixels_that_would_not_come_back_are_refused(name: str, value: Any, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        ImageCodec(name).encode(value)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_simplejpeg_and_pillow_decode_alike(subsampling: int, progressive: bool) -> None:
    pytest.importorskip("simplejpeg")
    data = saved(picture(), "JPEG", subsampling=subsampling, progressive=progressive, quality=80)
    ours = ImageCodec("jpg").decode(memoryview(data))
    pillow = open_image(JPEG, data, 1 << 20)
    assert ours.flags.c_contiguous
    assert np.abs(ours.astype(int) - pillow).max() <= 2  # with one libjpeg-turbo they are equal; others round otherwise


def test_jpeg_is_decoded_where_simplejpeg_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(), "JPEG")
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    _simplejpeg.cache_clear()
    try:
        np.testing.assert_array_equal(ImageCodec("jpg").decode(data), open_image(JPEG, data, 1 << 20))
        assert _simplejpeg() is None
    finally:
        _simplejpeg.cache_clear()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_decoded_into_an_array_that_fits_it(mode: str) -> None:
    pytest.importorskip("simplejpeg")
    data = saved(picture().convert(mode), "JPEG")
    decoded = ImageCodec("jpg").decode(data)
    batch = np.zeros((2, *decoded.shape), np.uint8)
    assert ImageCodec("jpg").decode_into(memoryview(data), batch[1])
    np.testing.assert_array_equal(batch[1], decoded)
    assert not batch[0].any()


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((40, 56), np.uint8),
        np.zeros((56, 40, 3), np.uint8),
        np.zeros((40, 56, 3), "f4"),
        np.zeros((0, 0, 3), "u1"),
    ],
    ids=lambda out: f"{out.dtype} {out.shape}",
)
def test_an_array_of_another_shape_is_left_to_decode(out: np.ndarray) -> None:
    assert not ImageCodec("jpg").decode_into(saved(picture(), "JPEG"), out)
    assert not out.any()


def test_images_that_have_to_be_turned_are_left_to_decode() -> None:
    out = np.zeros((40, 56, 3), np.uint8)
    for data in (saved(picture(), "PNG"), saved(picture(), "JPEG")[:-200], saved(picture().convert("L"), "JPEG")):
        assert not ImageCodec("jpg", mode="RGB").decode_into(data, out)
    with pytest.raises(CodecError, match="more than 9 pixels"):
        ImageCodec("jpg", max_pixels=9).decode_into(saved(picture(), "JPEG"), out)


def test_grey_jpeg_has_two_axes_and_cmyk_becomes_rgb() -> None:
    assert ImageCodec("jpg").decode(saved(picture().convert("L"), "JPEG")).shape == (40, 56)
    came = ImageCodec("jpg").decode(saved(picture().convert("CMYK"), "JPEG", quality=100))
    assert np.abs(came.astype(int) - np.array(picture())).mean() < 3


def test_bytes_between_the_parts_of_a_jpeg_are_passed_over() -> None:
    """ImageNet has such images; libjpeg warns of them and reads them."""
    data = saved(picture(), "JPEG")
    place = data.index(b"\xff\xda")
    odd = data[:place] + bytes(3) + data[place:]
    np.testing.assert_array_equal(ImageCodec("jpg").decode(odd), ImageCodec("jpg").decode(data))


def test_an_image_is_read_by_its_bytes_whatever_its_field_is_called() -> None:
    """One of ImageNet's JPEG files is a PNG image."""
    np.testing.assert_array_equal(ImageCodec("jpg").decode(saved(picture(), "PNG")), np.array(picture()))


@pytest.mark.parametrize(("mode", "shape"), [("L", (40, 56)), ("RGB", (40, 56, 3)), ("RGBA", (40, 56, 4))])
def test_a_mode_makes_all_images_alike(mode: Literal["L", "RGB", "RGBA"], shape: tuple[int, ...]) -> None:
    chosen = ImageCodec("png", mode=mode)
    for given in ("1", "L", "LA", "RGB", "RGBA", "P"):
        came = chosen.decode(saved(picture().convert(given), "PNG"))
        assert (came.dtype, came.shape) == (np.dtype("u1"), shape)
        assert came.flags.writeable
    for data in (saved(picture(), "JPEG"), saved(picture().convert("L"), "JPEG"), saved(picture().convert("L"), "GIF")):
        assert chosen.decode(data).shape == shape
    with pytest.raises(CodecError, match=f"uint16 pixels are not turned into {mode}: it would drop bits"):
        chosen.decode(ImageCodec("png").encode(pixels(*DEEP)))


def test_transparent_colours_of_a_palette_stay_transparent() -> None:
    palette = picture().convert("P")
    assert ImageCodec("gif").decode(saved(palette, "GIF", transparency=0)).shape[2] == 4
    assert ImageCodec("gif").decode(saved(palette, "GIF")).shape[2] == 3


def test_only_the_first_frame_is_read() -> None:
    frames = [picture(), picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(ImageCodec("webp").decode(data)[..., :3], np.array(picture()))


def test_avif_is_read() -> None:
    pytest.importorskip("PIL.AvifImagePlugin")
    came = ImageCodec("avif").decode(saved(picture(), "AVIF", quality=95))
    assert np.abs(came.astype(int) - np.array(picture())).mean() < 5


JPEG_OF_900_MEGAPIXELS = saved(picture(), "JPEG")
_FRAME = JPEG_OF_900_MEGAPIXELS.index(b"\xff\xc0") + 5
JPEG_OF_900_MEGAPIXELS = (
    JPEG_OF_900_MEGAPIXELS[:_FRAME] + struct.pack(">HH", 30_000, 30_000) + JPEG_OF_900_MEGAPIXELS[_FRAME + 4 :]
)
BOMBS = {
    "png": png(30_000, 30_000),
    "jpg": JPEG_OF_900_MEGAPIXELS,
    "webp": b"RIFF\x16\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + b"\x2f\x75\0" * 2,
    "webp lossless": b"RIFF\x16\0\0\0WEBPVP8L\n\0\0\0\x2f" + struct.pack("<I", 16_383 | 16_383 << 14) + bytes(5),
    "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "ppm": b"P6 30000 30000 255\n",
    "gif": b"GIF89a"
    + struct.pack("<HHBBB", 30_000, 30_000, 0, 0, 0)
    + b","
    + struct.pack("<HHHHB", 0, 0, 9, 9, 0)
    + b"\x08\0;",
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_image_of_900_megapixels_is_refused_by_its_header(name: str) -> None:
    with pytest.raises(CodecError, match=r"the image of \d{5} x \d{5} has more than 134217728 pixels"):
        ImageCodec(name.split()[0]).decode(BOMBS[name])


def test_code_may_move_the_limit() -> None:
    data = saved(picture(), "PNG")
    with pytest.raises(CodecError, match=r"56 x 40 has more than 2239 pixels; read it by ImageCodec\(..., max_pixels="):
        ImageCodec("png", max_pixels=2239).decode(data)
    assert ImageCodec("png", max_pixels=2240).decode(data).shape == (40, 56, 3)
    with pytest.raises(CodecError, match="damaged PNG image"):
        ImageCodec("png", max_pixels=1 << 30).decode(BOMBS["png"])


def test_sixteen_bits_a_channel_are_refused_where_pillow_drops_half_of_them() -> None:
    with pytest.raises(CodecError, match="16 bits a channel in colour, of which Pillow reads 8"):
        ImageCodec("png").decode(png(4, 4, depth=16, colours=2))
    with pytest.raises(CodecError, match="16 bits a channel in colour"):
        ImageCodec("ppm").decode(b"P6 1 1 65535\n" + bytes(6))


@pytest.mark.parametrize("name", ["jpg", "png", "tiff", "webp", "bmp", "ppm"])
def test_a_truncated_image_is_an_error(name: str) -> None:
    data = ImageCodec(name).encode(np.array(picture()))
    for end in (len(data) * 2 // 3, 40, 16):
        with pytest.raises(CodecError, match="damaged|no image"):
            ImageCodec(name).decode(data[:end])


def test_programs_and_documents_that_pillow_reads_are_no_images_here(tmp_path: Path) -> None:
    """Pillow hands Encapsulated PostScript to another program."""
    postscript = saved(picture(), "EPS")
    with pytest.raises(CodecError, match="no image of a format known here"):
        ImageCodec("png").decode(postscript)
