"""The index of tar files, made from the tar files alone. No torch."""

import hashlib
import zlib
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from labwright.args.wording import one_line

from .disk import open_file, reading
from .errors import ShardError
from .index import index_dtype
from .listing import SplitName, strict_name
from .names import MAX_FIELDS
from .tar import Member, members

CHUNK_BYTES = 1 << 20
Progress = Callable[[int], object]
"""Told of the number of bytes that were just done."""


class ScannedShard(NamedTuple):
    """A tar file as it was found."""

    name: str
    num_bytes: int
    num_samples: int
    sha256: str
    """Empty: without checksums."""


class Scanned(NamedTuple):
    """All that a number of tar files hold, in their order."""

    records: np.ndarray
    """Of `index_dtype(fields)`, `key_end` not filled in; the CRC is 0 without checksums."""
    keys: list[str]
    fields: tuple[str, ...]
    """In the order in which they first appear."""
    shards: list[ScannedShard]
    ignored: list[str]
    """Members that belong to no sample: `<shard>: <name>`."""
    has_prefixes: bool
    """Whether the keys have the names of their shards before them, which they do not have in the tar files."""


def scan(
    directory: Path,
    shard_names: Sequence[str],
    *,
    checksums: bool,
    split_name: SplitName = strict_name,
    may_recur: bool = False,
    progress: Progress | None = None,
) -> Scanned:
    """The samples in tar files: members side by side that share a key. Offset 0: the sample has no such field.

    Args:
        checksums: also read every content, for its CRC-32, and every file, for its SHA-256.
        may_recur: a key may be in several shards; then all keys get the name of their shard before them.

    Raises:
        ShardError: a file is missing or no plain tar file; a member occurs twice; the fields of a sample lie apart;
            two samples have one key.
    """
    found = _Found(split_name, may_recur)
    shards: list[ScannedShard] = []
    for name in shard_names:
        path = directory / name
        before = len(found.keys)
        with reading(name), open_file(path, name) as file:
            found.begin(name)
            for member in members(file, name):
                found.add(member, content_crc(file, member) if checksums else 0)
            num_bytes = file.seek(0, 2)
            file.seek(0)
            sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest() if checksums else ""
        shards.append(ScannedShard(name, num_bytes, len(found.keys) - before, sha256))
        if progress is not None:
            progress(num_bytes)
    keys = found.keys
    if found.recurring:
        prefixes = [one_line(shard.name.removesuffix(".tar"), len(shard.name)) for shard in shards]
        prefixes = np.repeat(np.asarray(prefixes, object), [shard.num_samples for shard in shards])
        keys = [f"{prefix}/{key}" for prefix, key in zip(prefixes, keys, strict=True)]
    return Scanned(found.records(shards), keys, tuple(found.fields), shards, found.ignored, found.recurring)


def content_crc(file: BinaryIO, member: Member) -> int:
    """The CRC-32 of a member's content."""
    file.seek(member.offset)
    crc, left = 0, member.size
    while left and (chunk := file.read(min(left, CHUNK_BYTES))):
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
    if left:
        raise OSError(f"it was cut short while {member.name!r} was read")
    return crc


class _Found:
    """Samples as they come in, member by member: columns of numbers, not an object each."""

    def __init__(self, split_name: SplitName, may_recur: bool) -> None:
        self.keys: list[str] = []
        self.fields: dict[str, int] = {}
        self.ignored: list[str] = []
        self.recurring = False
        self._split_name = split_name
        self._may_recur = may_recur
        self._known: set[str] = set()
        self._known_here: set[str] = set()
        self._key: str | None = None
        self._key_fields: set[str] = set()
        self._shard = ""
        self._samples, self._offsets, self._sizes = array("Q"), array("Q"), array("Q")
        self._crcs, self._members_fields = array("I"), array("H")

    def begin(self, shard: str) -> None:
        """A new tar file: no sample goes on in it."""
        self._shard = shard
        self._key = None
        self._known |= self._known_here
        self._known_here = set()

    def add(self, member: Member, crc: int) -> None:
        """The next member; a ShardError if it cannot be where it is."""
        try:
            named = self._split_name(member.name)
        except ShardError as error:
            raise ShardError(f"the member {member.name!r}: {error}", shard=self._shard) from None
        if named is None:
            self.ignored.append(f"{self._shard}: {member.name}")
            return
        key, field = named
        if key != self._key:
            self._begin_sample(key, field)
        elif field in self._key_fields:
            raise ShardError("it is in the shard twice", shard=self._shard, key=key, field=field)
        self._key_fields.add(field)
        number = self.fields.setdefault(field, len(self.fields))
        if number == MAX_FIELDS:
            what = f"the {MAX_FIELDS + 1}th field; a field begins at the first dot: have the keys dots?"
            raise ShardError(what, shard=self._shard, key=key, field=field)
        self._samples.append(len(self.keys) - 1)
        self._members_fields.append(number)
        self._offsets.append(member.offset)
        self._sizes.append(member.size)
        self._crcs.append(crc)

    def _begin_sample(self, key: str, field: str) -> None:
        if key in self._known_here:
            what = "its key came before: it is there twice, or its fields do not lie side by side"
            raise ShardError(what, shard=self._shard, key=key, field=field)
        if key in self._known:
            if not self._may_recur:
                raise ShardError("its key is in an earlier shard too", shard=self._shard, key=key, field=field)
            self.recurring = True
        self._known_here.add(key)
        self._key = key
        self._key_fields = set()
        self.keys.append(key)

    def records(self, shards: Sequence[ScannedShard]) -> np.ndarray:
        records = np.zeros(len(self.keys), index_dtype(list(self.fields)))
        records["shard"] = np.repeat(np.arange(len(shards)), [shard.num_samples for shard in shards])
        samples, fields = np.asarray(self._samples), np.asarray(self._members_fields)
        offsets, sizes, crcs = np.asarray(self._offsets), np.asarray(self._sizes), np.asarray(self._crcs)
        for field, number in self.fields.items():
            chosen = fields == number
            place = records["fields"][field]
            place["offset"][samples[chosen]] = offsets[chosen]
            place["size"][samples[chosen]] = sizes[chosen]
            place["crc"][samples[chosen]] = crcs[chosen]
        return records
