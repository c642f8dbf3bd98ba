"""Where each sample lies: a record array and the keys, both mapped from disk: opening takes no time. No torch."""

import hashlib
import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from labwright.runs.durable import write_durably

from .disk import open_file, place_of, reading
from .errors import ShardError
from .manifest import FileInfo, SplitInfo

PLACE = np.dtype([("offset", "<u8"), ("size", "<u8"), ("crc", "<u4")])
"""Of one member's content in its shard: the first byte (0: the sample has no such field), how many, their CRC-32."""
_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_KEY_BYTES = 1 << 14


def index_dtype(fields: Sequence[str]) -> np.dtype:
    """One record a sample: number of its shard, end of its key in the blob, and a place for each field."""
    return np.dtype([("shard", "<u4"), ("key_end", "<u8"), ("fields", [(field, PLACE) for field in fields])])


class Keys:
    """The samples' keys, in their order, looked up in one blob."""

    def __init__(self, blob: "mmap.mmap | bytes", ends: np.ndarray) -> None:
        self._blob = blob
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: Iterable[int]) -> list[str]: ...
    def __getitem__(self, position: int | Iterable[int]) -> str | list[str]:
        if isinstance(position, int | np.integer):
            return self._at(np.asarray([position], np.int64))[0]
        return self._at(np.asarray(position if isinstance(position, np.ndarray) else list(position), np.int64))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 4096):
            yield from self[range(start, min(start + 4096, len(self)))]

    def _at(self, positions: np.ndarray) -> list[str]:
        outside = (positions < 0) | (positions >= len(self))
        if outside.any():
            raise IndexError(f"sample {positions[outside][0]} of {len(self)}")
        if not len(positions):
            return []
        ends = self._ends[positions]
        starts = np.where(positions > 0, self._ends[positions - 1], 0)
        damaged = (starts >= ends) | (ends > len(self._blob)) | (ends - starts > _MAX_KEY_BYTES)
        if damaged.any():
            raise _damaged("the index", f"the key of sample {positions[damaged][0]} ends where it cannot")
        # All at once: one gather of their bytes, and one cut at the newlines that end them.
        lengths = (ends - starts).astype(np.int64)
        ahead = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts.astype(np.int64) - ahead, lengths)
        try:
            *keys, rest = np.frombuffer(self._blob, np.uint8)[places].tobytes().decode().split("\n")
        except UnicodeDecodeError:
            raise _damaged("the keys", "one is not UTF-8") from None
        if rest or len(keys) != len(positions):
            raise _damaged("the keys", "a newline is missing, or there is one within a key")
        return keys

    def find(self, key: str) -> int | None:
        """The position of the sample called `key`; None: there is none."""
        if not key or "\n" in key:
            return None
        wanted = key.encode("utf-8", "replace") + b"\n"
        start = 0 if self._blob[: len(wanted)] == wanted else self._blob.find(b"\n" + wanted) + 1
        if start == 0 and self._blob[: len(wanted)] != wanted:
            return None
        position = bisect_left(self._ends, start + len(wanted))
        if position == len(self) or self[position] != key:
            raise _damaged("the index", f"the key {key!r} does not end where it should")
        return position


class Index:
    """The places of all samples of a split: `records[position]`, of `index_dtype(fields)`, and their `keys`."""

    def __init__(self, records: np.ndarray, keys: Keys, files: "Sequence[mmap.mmap]" = ()) -> None:
        self.records = records
        self.keys = keys
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def fields(self) -> tuple[str, ...]:
        return self.records.dtype["fields"].names or ()

    def check(self) -> None:
        """A ShardError if a mapped file was cut short since: to read it then would end the process (SIGBUS)."""
        for mapped in self._files:
            if mapped.size() < len(mapped):
                raise ShardError("the index was cut short while it was in use; `labwright data index` makes it anew")


def make_index(records: np.ndarray, keys: Sequence[str]) -> Index:
    """An index in memory; fills in where the keys end."""
    records["key_end"] = np.cumsum([len(key.encode()) + 1 for key in keys], dtype=np.uint64)
    return Index(records, Keys(key_blob(keys), records["key_end"]))


def key_blob(keys: Iterable[str]) -> bytes:
    """The keys as they are stored: UTF-8, a newline behind each."""
    return "".join(f"{key}\n" for key in keys).encode()


def write_index(directory: Path, split: str, index: Index, blob: bytes) -> tuple[FileInfo, FileInfo]:
    """Write the records and `blob`, the keys; each file is named after its content, so an older index stays whole."""
    records = np.ascontiguousarray(index.records)
    head = _header(records.dtype, len(records))
    return (
        _write(directory, f"{split}.{{}}.index.npy", [head, records.view(np.uint8).data]),
        _write(directory, f"{split}.{{}}.keys", [blob]),
    )


def load_index(directory: Path, split: str, info: SplitInfo, fields: Sequence[str]) -> Index:
    """The index that the manifest names, mapped: no time and memory for its samples. A ShardError if it is damaged."""
    dtype = index_dtype(fields)
    mapped = _map(directory, info.index)
    start = _check_header(mapped, dtype, info.num_samples, place_of(directory / info.index.name))
    records = np.frombuffer(mapped, dtype, info.num_samples, start)
    blob = _map(directory, info.keys)
    key_end = int(records["key_end"][-1]) if info.num_samples else 0
    if key_end != len(blob):
        raise _damaged(place_of(directory / info.keys.name), f"it has {len(blob):,} bytes, the index says {key_end:,}")
    files = [file for file in (mapped, blob) if isinstance(file, mmap.mmap)]
    return Index(records, Keys(blob, records["key_end"]), files)


def _header(dtype: np.dtype, num_samples: int) -> bytes:
    """As `np.save` writes it; spelled out, since its padding differs between versions of NumPy."""
    descr = np.lib.format.dtype_to_descr(dtype)
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({num_samples},), }}".encode()
    length = -(-(len(_MAGIC) + 2 + len(text) + 1) // 64) * 64 - len(_MAGIC) - 2
    return _MAGIC + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"


def _check_header(file: "mmap.mmap | bytes", dtype: np.dtype, num_samples: int, name: str) -> int:
    """Where the records begin. There is one right header, so nothing in it is interpreted."""
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(file[len(_MAGIC) : start], "little")
    if file[: len(_MAGIC)] != _MAGIC or file[start:end].split() != _header(dtype, num_samples)[start:].split():
        raise _damaged(name, "its header does not say what the manifest does")
    if len(file) != end + num_samples * dtype.itemsize:
        raise _damaged(name, f"it has {len(file):,} bytes, not {end + num_samples * dtype.itemsize:,}")
    return end


def _map(directory: Path, info: FileInfo) -> "mmap.mmap | bytes":
    place = place_of(directory / info.name)
    try:
        with open_file(directory / info.name, place) as file, reading(place):
            num_bytes = file.seek(0, 2)
            if num_bytes != info.num_bytes:
                raise ShardError(f"it has {num_bytes:,} bytes, the manifest says {info.num_bytes:,}", shard=place)
            return mmap.mmap(file.fileno(), num_bytes, access=mmap.ACCESS_READ) if num_bytes else b""
    except ShardError as error:
        raise _damaged(place, error.what) from error.__cause__


def _damaged(name: str, what: str) -> ShardError:
    return ShardError(f"{what}; `labwright data index` makes it anew from the shards", shard=name)


def _write(directory: Path, pattern: str, pieces: Sequence[bytes | memoryview]) -> FileInfo:
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    name = pattern.format(hashed.hexdigest()[:8])
    sha256 = write_durably(directory / name, pieces)
    return FileInfo(name=name, num_bytes=sum(len(piece) for piece in pieces), sha256=sha256)
