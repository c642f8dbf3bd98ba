"""Classes, text, JSON, and bytes as they are."""

import json
import operator
import re
from typing import Any

from .base import Codec, CodecError, refusal, utf8

_INTEGER = re.compile(rb"\s*[+-]?[0-9]{1,19}\s*")


class ClsCodec(Codec):
    """A class, or any integer of 64 bits, in decimal digits, as WebDataset and quix write it."""

    names = ("cls", "cls2", "class", "count", "index", "inx", "id")

    def encode(self, value: Any) -> bytes:
        try:
            number = operator.index(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError, RuntimeError):  # an array or a tensor of several numbers
            raise refusal("cls", "an integer", value) from None
        if not -(2**63) <= number < 2**63:
            raise CodecError("the integer has more than 64 bits")
        return b"%d" % number

    def decode(self, data: bytes | memoryview) -> int:
        if len(data) <= 64 and _INTEGER.fullmatch(data):
            number = int(bytes(data))
            if -(2**63) <= number < 2**63:
                return number
        raise CodecError(f"{_shown(data)} is not an integer of 64 bits in decimal digits")

    def check(self, head: bytes) -> None:
        self.decode(head)


class TxtCodec(Codec):
    """Text in UTF-8."""

    names = ("txt", "text", "transcript")

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise refusal("txt", "a str", value)
        return utf8(value)

    def decode(self, data: bytes | memoryview) -> str:
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise CodecError(f"the text is not UTF-8: byte {error.start} cannot be read") from None


class JsonCodec(Codec):
    """What JSON can say exactly: None, bool, int, float, str, lists, and dicts with str keys; tuples become lists.

    NaN and infinity are refused when written, since JSON has no word for them, and read where others wrote them.
    """

    names = ("json", "jsn")

    def encode(self, value: Any) -> bytes:
        try:
            _check_keys(value)
            return utf8(json.dumps(value, ensure_ascii=False, allow_nan=False))
        except CodecError:
            raise
        except TypeError as error:
            raise CodecError(f"JSON has no word for it: {error}") from None
        except (ValueError, RecursionError) as error:
            raise CodecError(f"JSON cannot say it: {error}") from None

    def decode(self, data: bytes | memoryview) -> Any:
        try:
            return json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise CodecError(f"no JSON: {error}") from None

    def check(self, head: bytes) -> None:
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if head.strip() and start not in b'{["-0123456789tfnNI':
            raise CodecError(f"{_shown(head)} is not the beginning of JSON")


class BytesCodec(Codec):
    """Bytes as they are, for formats that have no codec here."""

    names = ("bytes", "bin")

    def encode(self, value: Any) -> bytes:
        raise refusal("bytes", "bytes or a Path; for other values choose another codec", value)

    def decode(self, data: bytes | memoryview) -> bytes:
        return bytes(data)


def _check_keys(value: object) -> None:
    """JSON would turn other keys into text, silently."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise CodecError(f"JSON has no keys but text: {key!r:.40}")
            _check_keys(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_keys(each)


def _shown(data: bytes | memoryview) -> str:
    return repr(bytes(data[:32])) + ("..." if len(data) > 32 else "")
