"""A reader for IDX, the format of MNIST, that trusts nothing a file says until it is checked.

0 0  dtype  ndim | ndim sizes, 4 bytes each, big-endian | the values, big-endian
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from labwright.args import UserError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMS = 8
_MAX_DEFLATE_RATIO = 1032  # no gzip stream can hold more per compressed byte
_CHUNK = 1 << 20


class Idx(NamedTuple):
    """The array of an IDX file and the SHA-256 of its (decompressed) content."""

    array: np.ndarray
    sha256: str


def read_idx(path: Path, *, magic: int | None = None, max_bytes: int = 1 << 30) -> Idx:
    """Reads an IDX file, raw or gzipped (told by content, not by name); a UserError for anything wrong with it.

    `magic` is the number expected in its first four bytes (2051 for images, 2049 for labels). The size announced is
    checked against the file before memory is taken; no more than announced, nor than `max_bytes`, is decompressed.
    """
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            # a gzip file ends with its size; what it says is not trusted, the ratio is a law
            capacity = path.stat().st_size * (_MAX_DEFLATE_RATIO if is_gzip else 1)
            content = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzip else file
            return _read(content, path, magic=magic, capacity=capacity, max_bytes=max_bytes)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not an intact gzip file: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _read(content: BinaryIO, path: Path, *, magic: int | None, capacity: int, max_bytes: int) -> Idx:
    header = content.read(4)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in _DTYPES or not 1 <= header[3] <= _MAX_DIMS:
        raise UserError(f"{path} is not an IDX file: it starts with {header.hex(' ') or 'nothing'}")
    found = int.from_bytes(header)
    if magic is not None and found != magic:
        raise UserError(f"{path} has the magic number {found}, expected {magic}{_meaning(magic)}")
    num_dims = header[3]
    header += content.read(4 * num_dims)
    if len(header) < 4 + 4 * num_dims:
        raise UserError(f"{path} is truncated: it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    dtype = np.dtype(_DTYPES[header[2]])
    num_bytes = math.prod(shape) * dtype.itemsize
    announced = f"its header announces {' x '.join(map(str, shape))} values ({num_bytes:,} bytes)"
    # sizes beside a zero count too: NumPy refuses an empty array of impossible extent
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > max_bytes:
        raise UserError(f"{path}: {announced}, more than the {max_bytes:,} bytes that are read")
    if len(header) + num_bytes > capacity:
        raise UserError(f"{path} is truncated: {announced}, more than the file can hold")
    values = bytearray()
    while len(values) < num_bytes and (chunk := content.read(min(_CHUNK, num_bytes - len(values)))):
        values += chunk
    if len(values) < num_bytes:
        raise UserError(f"{path} is truncated: {announced}, but only {len(values):,} bytes follow")
    if content.read(1):
        raise UserError(f"{path} is corrupt: {announced}, but more bytes follow")
    digest = hashlib.sha256(header)
    digest.update(values)
    array = np.frombuffer(values, dtype).reshape(shape)
    return Idx(array.astype(dtype.newbyteorder("="), copy=False), digest.hexdigest())


def _meaning(magic: int) -> str:
    return {2049: " (labels)", 2051: " (images)"}.get(magic, "")
