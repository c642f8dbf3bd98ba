"""What a codec is: a value to bytes and back. No torch.

ValueError
  UserError
    ShardError      says which shard, key and field
      CodecError    says only what is wrong: whoever knows the place adds it
"""

import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from labwright.args.wording import one_line
from labwright.shards.errors import ShardError

HEAD_BYTES = 64
"""How much of encoded bytes `check` looks at."""


class CodecError(ShardError):
    """A value cannot be encoded, or bytes cannot be decoded: says why, without the place."""

    def __init__(self, what: str) -> None:
        super().__init__(what)


class Codec(ABC):
    """Values of one kind to bytes and back.

    For a format of your own, subclass it and hand on an instance: `ShardWriter(..., codecs={"wav": WavCodec()})` and
    `ShardDataset(..., codecs={"wav": WavCodec()})`. Say what is wrong with a value or with bytes by a ValueError.
    """

    names: tuple[str, ...] = ()
    """What a manifest calls it, the first one when it is asked; mostly endings of files."""

    releases_gil: bool = False
    """Decoding does most of its work without Python's lock: the reader decodes several at once in threads."""

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """The bytes of `value`, which is not encoded yet."""

    @abstractmethod
    def decode(self, data: bytes | memoryview) -> Any:
        """The value in `data`, which may be damaged or hostile."""

    def decode_into(self, data: bytes | memoryview, out: np.ndarray) -> bool:
        """Whether the value now lies in `out`, which has its shape and dtype.

        A codec does so only where that is no slower than `decode`. If it did not, `out` may hold anything.
        """
        return False

    def check(self, head: bytes) -> None:  # noqa: B027 - not every format tells by its beginning
        """A CodecError if encoded bytes that begin with `head` (64 bytes, or all of fewer) are of another format."""

    @staticmethod
    def passes(value: object) -> bool:
        """Whether `value` is encoded already: bytes, or the path of a file. Text is a value."""
        return isinstance(value, bytes | bytearray | memoryview | os.PathLike)

    def to_bytes(self, value: Any) -> bytes:
        """What is stored for `value`: encoded bytes and files as they are, anything else encoded."""
        if type(value) is not bytes:  # most often it is, and writing is counted in microseconds
            if not self.passes(value):
                return self.encode(value)
            value = _read(Path(value)) if isinstance(value, os.PathLike) else bytes(value)
        self.check(value[:HEAD_BYTES])
        return value


def checked_codec(given: object, field: str) -> Codec:
    """What was given as the codec of `field`, if it is one; else a ShardError says what would be."""
    if isinstance(given, Codec):
        return given
    what = one_line(repr(given))
    if isinstance(given, type) and issubclass(given, Codec):
        what = f"the class; give an instance: {given.__name__}()"
    raise ShardError(f"the codec of {field!r} is a name or an instance of a subclass of Codec, not {what}")


def refusal(codec: str, takes: str, value: object) -> CodecError:
    """For a value of a type that `codec` does not take."""
    advice = "; a file is given as a Path" if isinstance(value, str) else ""
    return CodecError(f"{codec} takes {takes}, not {type(value).__name__}{advice}")


def utf8(text: str) -> bytes:
    """`text` in UTF-8; a CodecError if that has no bytes for it."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CodecError(f"character {error.start} of the text is half of a pair, which UTF-8 has not") from None


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CodecError(f"{path} is no file")
            return file.read()
    except OSError as error:
        raise CodecError(f"{path} cannot be read: {error.strerror or error}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    """For `open`: a named pipe would wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
