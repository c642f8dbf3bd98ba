"""`.mat`: MATLAB's files of versions 5 to 7.2, read within the bytes that are there; no objects, no functions.

A header of 128 bytes, then elements: a tag (type, bytes) and content padded to 8 bytes. An array is an element of
elements: flags, shape, name, and values in columns; a cell or a struct holds arrays in turn.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .base import Codec, CodecError, refusal, utf8

MAX_BYTES = 1 << 30
"""Of all that a file unfolds to, unless code says otherwise."""
_MAX_DEPTH = _MAX_AXES = 32
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR, _SPARSE = 1, 2, 4, 5
_COMPLEX, _LOGICAL = 0x800, 0x200
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of values on disk, which may be smaller than those of their array."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_REFUSED = {3: "an object", 16: "a function", 17: "an object"}
_KINDS = {np.dtype(name): (kind, code) for kind, name in _CLASSES.items() for code in _STORED if _STORED[code] == name}
_KINDS[np.dtype("?")] = (9 | _LOGICAL, 2)
"""Of arrays that are written: class with flags, and type of values on disk."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_HEADER = b"MATLAB 5.0 MAT-file, written by labwright".ljust(124) + b"\x00\x01IM"


class _Element(NamedTuple):
    kind: int
    content: memoryview


class MatCodec(Codec):
    """MATLAB variables: a dict of name -> value.

    Arrays of two axes or more (bool, int, float32, float64, complex) and text are written, and come back as they were,
    least significant byte first. Also read: cells (arrays of dtype object), structs (dicts, or arrays of them), sparse
    matrices (of scipy), text of several rows (lists).
    """

    names = ("mat",)

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, dict):
            raise refusal("mat", "a dict of name -> array or text", value)
        return _HEADER + b"".join(_variable(name, each) for name, each in value.items())

    def decode(self, data: bytes | memoryview) -> dict[str, Any]:
        try:
            return self._decode(memoryview(data))
        except CodecError:
            raise
        except (ValueError, zlib.error) as error:
            raise CodecError(f"damaged MATLAB file: {error}") from None

    def _decode(self, data: memoryview) -> dict[str, Any]:
        self.check(bytes(data[:64]))
        order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]))
        if order is None or data[124:126] not in (b"\x00\x01", b"\x01\x00"):
            raise CodecError("no MATLAB file of versions 5 to 7.2; 7.3 is HDF5, which is not read here")
        reader = _Reader(order, self.max_bytes)
        return dict(reader.variable(element) for element in reader.elements(data[128:]))

    def check(self, head: bytes) -> None:
        if not head.startswith(b"MATLAB"):
            raise CodecError("no MATLAB file: it does not begin so")


class _Reader:
    """Reads the elements of one file; `left` bytes may still be unfolded."""

    def __init__(self, order: str, max_bytes: int) -> None:
        self.order = order
        self.left = max_bytes

    def elements(self, data: memoryview) -> Iterator[_Element]:
        while len(data):
            if len(data) < 8:
                raise CodecError("damaged MATLAB file: it is cut off")
            kind, size = struct.unpack_from(f"{self.order}II", data)
            start, end = 8, 8 + size
            if kind >> 16:  # a small one: its content lies in the tag
                kind, size = kind & 0xFFFF, kind >> 16
                start, end = 4, 4 + size
            if end > len(data) or (start == 4 and size > 4):
                raise CodecError("damaged MATLAB file: an element ends behind its end")
            yield _Element(kind, data[start:end])
            data = data[end if kind == _COMPRESSED else -(-end // 8) * 8 :]

    def variable(self, element: _Element) -> tuple[str, Any]:
        if element.kind == _COMPRESSED:
            unfold = zlib.decompressobj()
            content = unfold.decompress(element.content, self.left + 1)
            self._take(len(content))
            if not unfold.eof:
                raise CodecError("damaged MATLAB file: a compressed variable is cut off")
            (element,) = self.elements(memoryview(content))
        return self._matrix(element, depth=0)

    def _take(self, num_bytes: int) -> None:
        self.left -= num_bytes
        if self.left < 0:
            raise CodecError("the MATLAB file unfolds to more bytes than allowed; read it by MatCodec(max_bytes=...)")

    def _matrix(self, element: _Element, depth: int) -> tuple[str, Any]:
        if element.kind != _MATRIX or depth > _MAX_DEPTH:
            raise CodecError("damaged MATLAB file: no array where one belongs")
        if not len(element.content):
            return "", np.empty((0, 0))
        parts = self.elements(element.content)
        try:
            flags = int(self._numbers(next(parts), "u4")[0])
            kind = flags & 0xFF
            if kind in _REFUSED:
                raise CodecError(f"the MATLAB file holds {_REFUSED[kind]}, which only MATLAB can read")
            shape = tuple(map(int, self._numbers(next(parts), "i4")))
            name = str(next(parts).content, "latin-1")
            if not 2 <= len(shape) <= _MAX_AXES or min(shape) < 0:
                raise CodecError("damaged MATLAB file: an array has no shape")
            return name, self._values(kind, flags, shape, parts, depth)
        except StopIteration:
            raise CodecError("damaged MATLAB file: an array is cut off") from None

    def _values(self, kind: int, flags: int, shape: tuple[int, ...], parts: Iterator[_Element], depth: int) -> Any:
        if kind in _CLASSES:
            return self._array("?" if flags & _LOGICAL else _CLASSES[kind], flags, shape, parts)
        if kind == _CHAR:
            return _text(next(parts), shape, self.order)
        if kind == _SPARSE:
            return self._sparse(flags, shape, parts)
        if kind not in (_CELL, _STRUCT):
            raise CodecError(f"damaged MATLAB file: there is no array of class {kind}")
        fields = list(self._fields(parts)) if kind == _STRUCT else None
        length = math.prod(shape)
        self._take(64 * length)  # what Python needs for each, before anything of it is read
        values = np.empty(length, object)
        for place in range(length):
            if fields is None:
                values[place] = self._matrix(next(parts), depth + 1)[1]
            else:
                values[place] = {field: self._matrix(next(parts), depth + 1)[1] for field in fields}
        return values[0] if length == 1 and fields is not None else values.reshape(shape, order="F")

    def _fields(self, parts: Iterator[_Element]) -> Iterator[str]:
        width = int(self._numbers(next(parts), "i4")[0])
        names = bytes(next(parts).content)
        if width < 1 or len(names) % width:
            raise CodecError("damaged MATLAB file: a struct's fields have no names")
        for start in range(0, len(names), width):
            yield str(names[start : start + width].partition(b"\0")[0], "latin-1")

    def _array(self, dtype: str, flags: int, shape: tuple[int, ...], parts: Iterator[_Element]) -> np.ndarray:
        length = math.prod(shape)
        self._take(length * 16)
        real = self._values_of(next(parts), dtype, length)
        if flags & _COMPLEX:
            whole = np.empty(length, np.result_type(real, np.complex64))
            whole.real, whole.imag = real, self._values_of(next(parts), dtype, length)
            real = whole
        return np.ascontiguousarray(real.reshape(shape, order="F"))

    def _sparse(self, flags: int, shape: tuple[int, ...], parts: Iterator[_Element]) -> Any:
        try:
            from scipy.sparse import csc_array
        except ImportError:
            raise CodecError("a sparse matrix of MATLAB needs scipy: pip install scipy") from None
        rows = self._numbers(next(parts), "i4")
        ends = self._numbers(next(parts), "i4")
        if len(shape) != 2 or len(ends) != shape[1] + 1:
            raise CodecError("damaged MATLAB file: a sparse matrix has no columns")
        count = int(ends[-1])
        values = self._array("?" if flags & _LOGICAL else "f8", flags, (1, count), parts)[0]
        matrix = csc_array((values, rows[:count], ends), shape=shape)
        matrix.check_format(full_check=True)
        return matrix

    def _values_of(self, element: _Element, dtype: str, length: int) -> np.ndarray:
        values = self._numbers(element)
        if len(values) != length:
            raise CodecError(f"damaged MATLAB file: an array of {length} values has {len(values)}")
        if values.dtype.kind == "f" and dtype not in ("?", values.dtype.str[1:]):
            raise CodecError("damaged MATLAB file: an array of integers has others")
        return values.astype(dtype)

    def _numbers(self, element: _Element, wanted: str | None = None) -> np.ndarray:
        stored = _STORED.get(element.kind)
        if stored is None or (wanted is not None and (stored != wanted or len(element.content) < 4)):
            raise CodecError("damaged MATLAB file: no numbers where some belong")
        return np.frombuffer(element.content, self.order + stored).astype(stored)


def _text(element: _Element, shape: tuple[int, ...], order: str) -> str | list[str]:
    encoding = _TEXTS.get(element.kind)
    if encoding is None:
        raise CodecError("damaged MATLAB file: no text where some belongs")
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    text = str(element.content, encoding)
    if shape[0] <= 1 or len(shape) != 2:
        return text
    return [text[row :: shape[0]] for row in range(min(shape[0], len(text)))]


def _variable(name: object, value: Any) -> bytes:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CodecError(f"MATLAB has no variable called {name!r:.70}")
    if isinstance(value, str):
        return _element(_MATRIX, _head(_CHAR, (1, len(value)), name) + _element(16, utf8(value)))
    array = np.asarray(value)
    parts = (np.real(array), np.imag(array)) if array.dtype.kind == "c" else (array,)
    dtype = parts[0].dtype.newbyteorder("=")
    if dtype not in _KINDS or isinstance(value, np.ma.MaskedArray):
        raise CodecError(f"{name}: MATLAB has no arrays of {array.dtype}")
    if array.ndim < 2:
        raise CodecError(f"{name}: MATLAB has no arrays of fewer than two axes; reshape it, as to [1, {array.size}]")
    flags, code = _KINDS[dtype]
    content = b"".join(_element(code, part.astype(dtype.newbyteorder("<")).tobytes("F")) for part in parts)
    return _element(_MATRIX, _head(flags | _COMPLEX * (len(parts) - 1), array.shape, name) + content)


def _head(flags: int, shape: tuple[int, ...], name: str) -> bytes:
    if max(shape) >= 1 << 31:
        raise CodecError(f"{name}: MATLAB has no axes as long as {max(shape)}")
    lengths = np.array(shape, "<i4").tobytes()
    return _element(6, struct.pack("<II", flags, 0)) + _element(5, lengths) + _element(1, name.encode())


def _element(kind: int, content: bytes) -> bytes:
    if len(content) >= 1 << 32:
        raise CodecError("MATLAB's files hold no variables of 4 GiB")
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)
