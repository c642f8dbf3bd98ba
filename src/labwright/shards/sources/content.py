"""Encoded bytes of a source, checked on their way into a shard. No torch."""

from dataclasses import dataclass
from typing import Literal

from ..codecs import codec
from ..codecs.base import HEAD_BYTES
from ..codecs.formats import IMAGE_FORMATS, ImageFormat, format_of
from ..errors import ShardError
from .base import Unreadable

Check = Literal["decode", "header"]
IMAGE_SUFFIXES = {f".{name}": form.names[0] for name, form in IMAGE_FORMATS.items()}
"""Endings of image files, and the codec of each."""


@dataclass(frozen=True)
class Content:
    """How encoded bytes become a member of the field."""

    codec: str
    check: Check = "decode"
    """decode: all of it, so that what is damaged is found now; header: only its beginning."""
    converts: bool = False
    """Images of another format are encoded anew."""

    def member(self, data: bytes, name: str) -> bytes:
        """The bytes to write, most often `data` itself; an Unreadable that says what is wrong with `name`."""
        wanted, found = IMAGE_FORMATS.get(self.codec), format_of(data[:HEAD_BYTES])
        if wanted is not None and found is not None and found is not wanted:
            return self._converted(data, name, found)
        try:
            if self.check == "decode":
                codec(self.codec).decode(data)
            return codec(self.codec).to_bytes(data)
        except ShardError as error:
            raise Unreadable(f"{name}: {error}") from error

    def _converted(self, data: bytes, name: str, found: ImageFormat) -> bytes:
        if not self.converts:
            raise Unreadable(
                f"{name} is a {found.names[0]} image, and the field is {self.codec}; where the fields are named, "
                "such images are encoded anew"
            )
        try:
            return codec(self.codec).encode(codec(found.names[0]).decode(data))
        except ShardError as error:
            raise Unreadable(f"{name}: {error}") from error


def image_format(data: bytes) -> str | None:
    """The codec of an image, by its first bytes; None: it is no image that is known."""
    found = format_of(data[:HEAD_BYTES])
    return None if found is None else found.names[0]
