"""The shards of one split and their index, as they grow. No torch."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import ShardError
from .index import index_dtype, key_blob
from .manifest import MAX_SHARDS, ShardInfo
from .publish import StagedSplit, shard_name
from .shard_file import ShardFile
from .tar import BLOCK, END, header


class SplitWriter:
    """Appends samples to shards in `folder`, and begins a new one where a limit is reached.

    `taken` are the keys of samples that the dataset has already.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        fields: Sequence[str],
        *,
        shard_bytes: int,
        shard_samples: int | None,
        taken: set[str],
    ) -> None:
        self._folder = folder
        self._name = name
        self._fields = fields
        self._suffixes = [f".{field}" for field in fields]
        self._limit = shard_bytes - len(END) - 2 * BLOCK * len(fields)  # of a shard and the contents that come next
        self._shard_samples = shard_samples or float("inf")
        self._taken = taken
        self._keys: dict[str, None] = {}
        self._num_key_bytes = 0
        self._records = bytearray()
        self._record = struct.Struct("<IQ" + "QQI" * len(fields))  # `index_dtype`
        self._shards: list[ShardInfo] = []
        self._shard: ShardFile | None = None
        self._num_bytes = 0

    @property
    def num_samples(self) -> int:
        return len(self._keys)

    @property
    def num_shards(self) -> int:
        return len(self._shards) + (self._shard is not None)

    @property
    def num_bytes(self) -> int:
        """Of all shards."""
        return self._num_bytes + (self._shard.num_bytes if self._shard else 0)

    def refuse(self, key: str) -> None:
        """A ShardError if there is a sample called `key`."""
        if key in self._keys:
            raise ShardError(f"a sample of split {self._name!r} has this key already", key=key)
        if key in self._taken:
            raise ShardError(f"the dataset has a sample with this key in split {self._name!r} already", key=key)

    def add(self, key: str, contents: Sequence[bytes]) -> None:
        """Append a sample: the content of each field, in their order.

        Raises:
            ShardError: a name or a content does not fit into a tar file; nothing was appended.
            DiskError: the disk is full, or failed.
        """
        named = zip(self._suffixes, contents, strict=True)
        headers = [header(key + suffix, len(content)) for suffix, content in named]
        shard = self._shard
        if (
            shard is None
            or shard.num_samples >= self._shard_samples
            or shard.num_bytes + sum(map(len, contents)) > self._limit
        ):
            shard = self._next_shard()
        places = shard.add(headers, contents)
        self._keys[key] = None
        self._num_key_bytes += len(key.encode()) + 1
        self._records += self._record.pack(len(self._shards), self._num_key_bytes, *places)

    def finish(self) -> StagedSplit:
        """Make the last shard durable; all that was written."""
        self._end_shard()
        records = np.frombuffer(self._records, dtype=index_dtype(self._fields))
        return StagedSplit(tuple(self._shards), records, key_blob(self._keys))

    def close(self) -> None:
        """Close what is open, without the promises of `finish`."""
        if self._shard is not None:
            self._shard.close()

    def _next_shard(self) -> ShardFile:
        self._end_shard()
        if len(self._shards) == MAX_SHARDS:
            raise ShardError(f"split {self._name!r} has {MAX_SHARDS:,} shards; allow more bytes or samples in each")
        self._shard = ShardFile(self._folder / shard_name(self._name, len(self._shards)))
        return self._shard

    def _end_shard(self) -> None:
        if self._shard is not None:
            info = self._shard.finish()
            self._shards.append(info)
            self._num_bytes += info.num_bytes
            self._shard = None
