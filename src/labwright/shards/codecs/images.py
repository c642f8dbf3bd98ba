"""Images as arrays, by Pillow; JPEG by simplejpeg where that is installed. Pixels are counted before any is decoded."""

import io
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .base import HEAD_BYTES, Codec, CodecError, refusal
from .formats import IMAGE_FORMATS, JPEG, PNG, PPM, WEBP, ImageFormat, format_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 1 << 27
"""Of an image, unless code says otherwise: 134 million."""

_DTYPES = {"1": "?", "L": "u1", "LA": "u1", "RGB": "u1", "RGBA": "u1", "I;16": "<u2", "I": "<i4", "F": "<f4"}
_AXES = {"LA": 2, "RGB": 3, "RGBA": 4}
_PLAIN = {"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
"""What Pillow's other modes become; else RGB."""


class ImageCodec(Codec):
    """An image as [height, width] or [height, width, channels]: uint8; bool, uint16, int32, float32 where stored so.

    `mode` turns 8-bit images of any colours into one kind: "L" (grey), "RGB" or "RGBA". Palettes become colours, CMYK
    becomes RGB; of several frames the first is read; EXIF's orientation is not applied. JPEG is written with `quality`,
    WebP lossless; GIF and AVIF are only read. What is decoded is told by its first bytes, whatever the field is called.
    """

    names = tuple(IMAGE_FORMATS)
    releases_gil = True

    def __init__(
        self,
        name: str,
        *,
        mode: Literal["L", "RGB", "RGBA"] | None = None,
        max_pixels: int = MAX_PIXELS,
        quality: int = 95,
    ) -> None:
        if name not in IMAGE_FORMATS:
            raise ValueError(f"ImageCodec: {name!r} is none of {', '.join(IMAGE_FORMATS)}")
        self.names = (name, *(other for other in IMAGE_FORMATS[name].names if other != name))
        self.mode = mode
        self.max_pixels = max_pixels
        self.quality = quality

    def encode(self, value: Any) -> bytes:
        image_format = IMAGE_FORMATS[self.names[0]]
        pixels = _to_pixels(self.names[0], value)
        mode = _mode_of(pixels)
        if mode is None or mode not in image_format.modes:
            known = ", ".join(map(_mode_in_words, image_format.modes)) or "nothing; it is only read"
            raise CodecError(f"{self.names[0]} holds {known}; not {pixels.dtype} {list(pixels.shape)}")
        options = {"quality": self.quality} if image_format is JPEG else {}
        dtype = _DTYPES["I" if image_format is PPM and mode == "I;16" else mode]  # as every Pillow writes 16 bits there
        return _save(image_format, pixels.astype(dtype, copy=False), **options)

    def decode(self, data: bytes | memoryview) -> np.ndarray:
        head = bytes(data[:HEAD_BYTES])
        image_format = format_of(head)
        if image_format is None:
            raise CodecError("no image of a format known here" if head else "no bytes, where an image belongs")
        pixels = _decode_jpeg(data, self.max_pixels) if image_format is JPEG else None
        if pixels is None:
            pixels = open_image(image_format, data, self.max_pixels)
        return pixels if self.mode is None else _in_mode(pixels, self.mode)

    def decode_into(self, data: bytes | memoryview, out: np.ndarray) -> bool:
        if out.dtype != np.uint8 or self.mode not in (None, "L" if out.ndim == 2 else "RGB"):
            return False
        return format_of(bytes(data[:HEAD_BYTES])) is JPEG and _decode_jpeg(data, self.max_pixels, out) is not None

    def check(self, head: bytes) -> None:
        IMAGE_FORMATS[self.names[0]].check(head)


def open_image(
    image_format: ImageFormat, data: bytes | memoryview, max_pixels: int, *, indices: bool = False
) -> np.ndarray:
    """The pixels of an image by Pillow; `indices`: of a palette, the numbers and not the colours."""
    if image_format is WEBP:  # whose reader allocates the canvas before it tells the size
        _check_size(*_webp_size(bytes(data[:HEAD_BYTES])), max_pixels)
    try:
        module, name = image_format.reader.split(".")
        reader = getattr(import_module(f"PIL.{module}"), name)
        opened: ImageFile = reader(io.BytesIO(data), "")
        with opened as image:  # `Image.open` would try others, and warn of sizes
            _check_size(*image.size, max_pixels)
            if _drops_bits(image):
                raise CodecError("16 bits a channel in colour, of which Pillow reads 8; read it by a codec of your own")
            return _pixels(image, indices)
    except CodecError:
        raise
    except Exception as error:  # Pillow's readers raise anything from SyntaxError to struct.error on damaged bytes
        raise CodecError(f"damaged {image_format.pillow} image: {error or type(error).__name__}") from error


def save_png(pixels: np.ndarray) -> bytes:
    return _save(PNG, pixels)


def _save(image_format: ImageFormat, pixels: np.ndarray, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, image_format.pillow, **image_format.options | options)
    except Exception as error:  # an image too wide for the format: OSError, ValueError or struct.error
        raise CodecError(f"Pillow cannot write {list(pixels.shape)} as {image_format.pillow}: {error}") from error
    return buffer.getvalue()


def _decode_jpeg(data: bytes | memoryview, max_pixels: int, out: np.ndarray | None = None) -> np.ndarray | None:
    """The pixels by simplejpeg, in `out` if that is given.

    None: it is not installed, Pillow has to judge the image, or it does not fit into `out`.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, max_pixels)
        if colours not in ("Gray", "YCbCr", "RGB"):
            return None
        kind = "GRAY" if colours == "Gray" else "RGB"
        if out is not None and (not out.flags.c_contiguous or out.shape != (height, width, 3)[: 2 + (kind == "RGB")]):
            return None
        pixels = simplejpeg.decode_jpeg(data, kind, fastdct=False, fastupsample=False, buffer=out)
    except CodecError:
        raise
    except ValueError:  # damaged, or only bytes too many between its parts, which Pillow passes over
        return None
    return pixels[..., 0] if colours == "Gray" else pixels


@cache
def _simplejpeg() -> ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise CodecError(
            f"the image of {width} x {height} has more than {max_pixels} pixels; "
            f"read it by ImageCodec(..., max_pixels=...), if you trust it"
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height of the canvas."""
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _drops_bits(image: "ImageFile") -> bool:
    """Whether the file has more bits a channel than Pillow's mode for it."""
    if image.mode.startswith(("I", "F")):
        return False
    for decoder, _, _, arguments in image.tile:
        if ";16" in str(arguments):
            return True
        if decoder in ("ppm", "ppm_plain") and isinstance(arguments, tuple) and int(arguments[1]) > 255:
            return True
    return False


def _pixels(image: "Image", indices: bool = False) -> np.ndarray:
    if image.mode == "P" and not indices:
        return np.array(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return np.array(image).astype(np.uint16, copy=False)
    if image.mode in _DTYPES or image.mode == "P":
        return np.array(image)
    return np.array(image.convert(_PLAIN.get(image.mode, "RGB")))


def _to_pixels(name: str, value: Any) -> np.ndarray:
    from PIL import Image

    if isinstance(value, Image.Image):
        return _pixels(value)
    try:
        pixels = np.asarray(value)
    except Exception as error:  # `__array__` belongs to others
        raise refusal(name, "an image of Pillow, an array, bytes, or a Path", value) from error
    if pixels.ndim < 2 or not pixels.size:
        raise refusal(name, "an image of Pillow, an array with pixels, bytes, or a Path", value)
    return pixels


def _mode_of(pixels: np.ndarray) -> str | None:
    channels = pixels.shape[2] if pixels.ndim == 3 else None
    dtype = pixels.dtype.newbyteorder("<")
    return next(
        (
            mode
            for mode, name in _DTYPES.items()
            if np.dtype(name) == dtype and _AXES.get(mode) == channels and pixels.ndim in (2, 3)
        ),
        None,
    )


def _mode_in_words(mode: str) -> str:
    shape = f"height, width, {_AXES[mode]}" if mode in _AXES else "height, width"
    return f"{np.dtype(_DTYPES[mode])} [{shape}]"


def _in_mode(pixels: np.ndarray, mode: str) -> np.ndarray:
    from PIL import Image

    given = _mode_of(pixels)
    if given == mode:
        return pixels
    if given not in ("1", "L", "LA", "RGB", "RGBA"):
        raise CodecError(f"{pixels.dtype} pixels are not turned into {mode}: it would drop bits")
    return np.array(Image.fromarray(pixels).convert(mode))
