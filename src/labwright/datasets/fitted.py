"""Images and masks resized and cropped while they are decoded, so that all have one size."""

import numpy as np
from PIL import Image, ImageOps

from labwright.shards.codecs import Codec, CodecError, SegCodec


class FittedCodec(Codec):
    """What `codec` decodes, resized to cover a square of `size` pixels and cropped around its centre.

    Images are resized bilinearly; of masks the nearest pixel is taken, so that no class is made up.
    """

    releases_gil = True

    def __init__(self, codec: Codec, size: int, *, is_mask: bool = False) -> None:
        self.codec = codec
        self.size = size
        self.is_mask = is_mask

    def encode(self, value: object) -> bytes:
        return self.codec.encode(value)

    def decode(self, data: bytes | memoryview) -> np.ndarray:
        pixels = self.codec.decode(data)
        return _nearest(pixels, self.size) if self.is_mask else _resized(pixels, self.size)


class PngMaskCodec(Codec):
    """A PNG image as the mask it stands for: grey values, or the numbers of its palette's colours."""

    releases_gil = True

    def encode(self, value: object) -> bytes:
        return SegCodec("seg16").encode(value)

    def decode(self, data: bytes | memoryview) -> np.ndarray:
        bits = 16 if bytes(data[24:25]) == b"\x10" else 8
        return SegCodec(f"seg{bits}").decode(data)


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    if pixels.dtype != np.uint8:
        also = "pass num_channels=1, too, or " if pixels.dtype == bool else ""
        raise CodecError(
            f"only images of 8 bits can be resized; this one is {pixels.dtype}: {also}leave image_size out"
        )
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.array(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BILINEAR))


def _nearest(mask: np.ndarray, size: int) -> np.ndarray:
    if mask.ndim != 2 or not mask.size:
        raise CodecError(f"a mask is [height, width], and not empty; this one is {list(mask.shape)}")
    height, width = mask.shape
    rows, columns = (_middle(length, size, min(height, width)) for length in (height, width))
    return mask[rows[:, None], columns]


def _middle(length: int, size: int, shorter: int) -> np.ndarray:
    """Of `length` pixels in a row, those that stand for the `size` ones of the square in the middle."""
    return ((np.arange(size) + 0.5) * shorter / size + (length - shorter) / 2).astype(np.int64)
