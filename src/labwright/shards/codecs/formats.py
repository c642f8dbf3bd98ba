"""Formats of images: how each begins, and which pixels it keeps exactly. Nothing of Pillow is imported here."""

import re
from dataclasses import dataclass, field
from typing import Any

from .base import CodecError


@dataclass(frozen=True)
class ImageFormat:
    """What Pillow calls a format, and the class that reads it: no other one is tried on its bytes."""

    pillow: str
    reader: str
    names: tuple[str, ...]
    beginning: re.Pattern[bytes]
    modes: tuple[str, ...] = ()
    """Of Pillow: what can be written so that it comes back (JPEG: nearly)."""
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, head: bytes) -> None:
        if self.beginning.match(head):
            return
        found = format_of(head)
        given = f"a {found.pillow} image" if found else "no image that is known here" if head else "no bytes"
        raise CodecError(f"{given}, where {self.pillow} belongs")


JPEG = ImageFormat(
    "JPEG", "JpegImagePlugin.JpegImageFile", ("jpg", "jpeg", "jpe", "jfif"), re.compile(rb"\xff\xd8\xff"), ("L", "RGB")
)
PNG = ImageFormat(
    "PNG",
    "PngImagePlugin.PngImageFile",
    ("png",),
    re.compile(rb"\x89PNG\r\n\x1a\n"),
    ("1", "L", "LA", "RGB", "RGBA", "I;16"),
)
TIFF = ImageFormat(
    "TIFF",
    "TiffImagePlugin.TiffImageFile",
    ("tif", "tiff"),
    re.compile(rb"II[*+]\0|MM\0[*+]"),
    ("1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F"),
)
WEBP = ImageFormat(
    "WEBP",
    "WebPImagePlugin.WebPImageFile",
    ("webp",),
    re.compile(rb"RIFF....WEBP", re.DOTALL),
    ("RGB", "RGBA"),
    {"lossless": True, "exact": True},
)
BMP = ImageFormat("BMP", "BmpImagePlugin.BmpImageFile", ("bmp",), re.compile(rb"BM"), ("1", "L", "RGB"))
PPM = ImageFormat(
    "PPM",
    "PpmImagePlugin.PpmImageFile",
    ("ppm", "pgm", "pbm", "pnm"),
    re.compile(rb"P[1-6][\s#]"),
    ("1", "L", "RGB", "I;16"),
)
GIF = ImageFormat("GIF", "GifImagePlugin.GifImageFile", ("gif",), re.compile(rb"GIF8[79]a"))
AVIF = ImageFormat("AVIF", "AvifImagePlugin.AvifImageFile", ("avif",), re.compile(rb"....ftypavi[fs]", re.DOTALL))

_FORMATS = (JPEG, PNG, TIFF, WEBP, BMP, PPM, GIF, AVIF)
IMAGE_FORMATS = {name: each for each in _FORMATS for name in each.names}


def format_of(head: bytes) -> ImageFormat | None:
    """The format of an image by its first bytes."""
    return next((each for each in _FORMATS if each.beginning.match(head)), None)
