"""`.npy`: NumPy arrays, bounded by the bytes that are there, read without pickle."""

import ast
import io
import math
import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .base import Codec, CodecError, refusal

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000
"""In bytes; what `np.load` accepts, too."""
_TOKENS = re.compile(
    r"(?:[\[\](){}:, \n]|[0-9]++L?|True|False"
    r"|'(?:[^'\\\n]|\\['\"\\nrt]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U00(?:0[0-9a-f]|10)[0-9a-f]{4})*+'"
    r'|"(?:[^"\\\n]|\\[\'"\\nrt]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U00(?:0[0-9a-f]|10)[0-9a-f]{4})*+")*+'
)
"""All that a header can be made of, never tried twice (`+`); Python 2 wrote an L behind long numbers."""
_DTYPE = re.compile(r"[<>|=]?[biufcSUVmM][0-9]{1,9}(\[[0-9A-Za-z]{1,16}\])?|[|]?[?bO]")


class Layout(NamedTuple):
    """What the bytes of an array are: those from `start` are its values, row by row."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int


class _Header(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool


class NpyCodec(Codec):
    """A NumPy array of any dtype but object and any shape, its byte order and Fortran order kept."""

    names = ("npy",)

    def encode(self, value: Any) -> bytes:
        array = _to_array(value)
        if array.dtype.hasobject:
            raise CodecError("an array of Python objects needs pickle, which is no codec here")
        if not _is_kept(array.dtype):
            raise CodecError(f"npy does not keep the dtype {array.dtype}; store a view of it, as of array.view('u2')")
        try:
            data = _written(array, (1, 0))
        except UnicodeEncodeError:  # fields with names beyond Latin-1
            data = _written(array, (3, 0))
        if _start(data) > _MAX_HEADER:
            raise CodecError(f"the fields of the dtype take more than {_MAX_HEADER} bytes to name")
        return data

    def decode(self, data: bytes | memoryview) -> np.ndarray:
        start = _start(data)
        header = _parse(bytes(data[6:7]), _header_text(data, start))
        size = math.prod(header.shape) * header.dtype.itemsize
        if size != len(data) - start:
            raise CodecError(
                f"{list(header.shape)} of {header.dtype} take {size} bytes; there are {max(len(data) - start, 0)}"
            )
        order = "F" if header.is_fortran else "C"
        try:
            if size == 0:
                return np.empty(header.shape, header.dtype, order)
            array = np.ndarray(header.shape, header.dtype, bytearray(memoryview(data)[start:]), order=order)
        except ValueError as error:
            raise CodecError(f"no array can be {list(header.shape)}: {error}") from None
        if array.dtype == bool and array.view(np.uint8).max() > 1:
            raise CodecError("a bool is neither 0 nor 1")
        return array

    def check(self, head: bytes) -> None:
        if not head.startswith(_MAGIC):
            raise CodecError("no .npy: it does not begin as NumPy's arrays do")

    @staticmethod
    def layout(head: bytes | memoryview) -> Layout | None:
        """How the array that begins with `head` lies; None: not row by row, no header, or only part of one."""
        try:
            start = _start(head)
            header = _parse(bytes(head[6:7]), _header_text(head, start))
        except CodecError:
            return None
        return None if header.is_fortran else Layout(header.dtype, header.shape, start)


def _to_array(value: Any) -> np.ndarray:
    if isinstance(value, str | np.ma.MaskedArray):
        raise refusal("npy", "an array without a mask, or a number", value)
    try:
        return np.asarray(value)
    except Exception as error:  # `__array__` belongs to others: a tensor on a GPU raises TypeError, one with a
        # gradient RuntimeError
        raise CodecError(f"no array can be made of it: {error}".splitlines()[0]) from error


def _is_kept(dtype: np.dtype) -> bool:
    if dtype.isbuiltin == 2 or dtype.itemsize == 0:  # bfloat16 would come back as two bytes of anything
        return False
    try:
        return np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) == dtype
    except (TypeError, ValueError):
        return False


def _written(array: np.ndarray, version: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    try:
        np.lib.format.write_array(buffer, array, version=version, allow_pickle=False)
    except UnicodeEncodeError:
        raise
    except ValueError as error:  # a header of more than 64 KiB
        raise CodecError(f"npy cannot hold it: {error}") from None
    data = buffer.getvalue()
    if array.dtype.names is None:
        return data
    # Between fields there may be gaps, where NumPy leaves what the memory held before.
    filled = np.zeros(array.shape, array.dtype, "F" if array.flags.fnc else "C")
    filled[...] = array
    return data[: _start(data)] + filled.tobytes("A")


def _start(data: bytes | memoryview) -> int:
    """Where the values begin."""
    if bytes(data[:6]) != _MAGIC or len(data) < 10:
        raise CodecError("no .npy: it does not begin as NumPy's arrays do")
    version = bytes(data[6:8])
    if version == b"\1\0":
        return 10 + int.from_bytes(data[8:10], "little")
    if version in (b"\2\0", b"\3\0"):
        return 12 + int.from_bytes(data[8:12], "little")
    raise CodecError(f".npy of version {version[0]}.{version[1]}; known are 1.0, 2.0 and 3.0")


def _header_text(data: bytes | memoryview, start: int) -> bytes:
    if start > min(len(data), _MAX_HEADER):
        raise CodecError("the .npy header is cut off, or too long")
    return bytes(data[10 if data[6] == 1 else 12 : start])


@lru_cache(maxsize=256)
def _parse(version: bytes, text: bytes) -> _Header:
    """The header's meaning. Its text is hostile until every token of it is known, and never more than a literal."""
    try:
        literal = text.decode("utf-8" if version == b"\3" else "latin-1")
        if not _TOKENS.fullmatch(literal):
            raise CodecError("the .npy header is damaged")
        fields = ast.literal_eval(re.sub(r"(?<=[0-9])L(?=[,)])", "", literal).strip())
        if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
            raise CodecError("the .npy header is damaged")
        shape, is_fortran = fields["shape"], fields["fortran_order"]
        if not isinstance(shape, tuple) or not all(type(length) is int for length in shape):
            raise CodecError("the .npy header has no shape")
        if not isinstance(is_fortran, bool):
            raise CodecError("the .npy header has no order")
        dtype = _dtype(fields["descr"])
        if len(shape) > 64 or max(shape, default=0) >= 1 << 63:
            raise CodecError("the .npy header has more axes, or longer ones, than NumPy has")
    except CodecError:
        raise
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise CodecError(f"the .npy header is damaged ({type(error).__name__})") from None
    return _Header(dtype, shape, is_fortran)


def _dtype(descr: Any) -> np.dtype:
    _check_descr(descr)
    dtype = np.lib.format.descr_to_dtype(descr)
    if dtype.hasobject:
        raise CodecError("an array of Python objects needs pickle, which is no codec here")
    if dtype.itemsize == 0:
        raise CodecError("the .npy header has a dtype of no bytes")
    return dtype


def _check_descr(descr: Any) -> None:
    """Only names of dtypes reach NumPy: its parser of them takes more, and warns of some."""
    if isinstance(descr, str):
        if not _DTYPE.fullmatch(descr):
            raise CodecError(f"the .npy header has no dtype called {descr!r:.40}")
    elif isinstance(descr, tuple):
        _check_descr(descr[0])
    elif isinstance(descr, list):
        for _, each, *_ in descr:
            _check_descr(each)
    else:
        raise CodecError("the .npy header has no dtype")
