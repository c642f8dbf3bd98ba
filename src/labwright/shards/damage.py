"""Every byte of a dataset against its checksums; whatever is damaged is named. Memory does not grow. No torch."""

import contextlib
import hashlib
import itertools
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from labwright.args.wording import one_line
from labwright.runs.sizes import count_text

from .disk import open_file, reading
from .errors import ShardError
from .index import Index, load_index
from .listing import Listing
from .manifest import MANIFEST, Manifest, ShardInfo, read_manifest
from .opened import find_listing
from .publish import PARTS, WRITING
from .quix import check_quix_index
from .scan import CHUNK_BYTES, Progress, Scanned, scan
from .tar import BLOCK, members, parse_header

_ANEW = "`labwright data index` makes it anew"


class Damage(NamedTuple):
    """Something that is not as it was written."""

    shard: str
    key: str
    field: str
    what: str
    is_debris: bool = False
    """Only a remark: a file that no reader looks at."""
    is_detail: bool = False
    """Follows from one that was named before: a field that is gone with the end of its shard."""


def verify(path: Path | str, *, progress: Progress | None = None) -> Iterator[Damage]:
    """What is damaged in a dataset, as it is found: nothing, if all is whole. Debris comes last.

    Of quix and WebDataset, which have no checksums, the structure is checked. `progress` is told of bytes, in total
    those of the shards.

    Raises:
        ShardError: there is no dataset at `path`.
    """
    path = Path(path)
    with reading(one_line(str(path), 1000)):
        listing = None if (path / MANIFEST).is_file() else find_listing(path)
    if listing is not None:
        yield from _verify_foreign(listing, progress)
        return
    try:
        manifest = read_manifest(path)
    except ShardError as error:
        name = f"{path / MANIFEST} "
        yield Damage(MANIFEST, "", "", f"it {error.what[len(name) :]}" if error.what.startswith(name) else error.what)
        return
    for name in manifest.splits:
        yield from _Split(path, manifest, name, progress).damage()
    yield from _debris(path, manifest)


class _Place(NamedTuple):
    """Where a member should be."""

    key: str
    field: str
    offset: int
    size: int
    crc: int


class _Expected:
    """The members of some samples, in the order in which they lie in their shard."""

    def __init__(self, index: Index, start: int, end: int) -> None:
        places = index.records["fields"][start:end]
        tables = [np.stack([places[name][part] for name in index.fields], axis=1) for part in ("offset", "size", "crc")]
        samples, fields = np.nonzero(tables[0])
        order = np.argsort(tables[0][samples, fields], kind="stable")
        self._index = index
        self._samples, self._fields = samples[order] + start, fields[order]
        self._numbers = [table[samples, fields][order] for table in tables]

    def num_beyond(self, num_bytes: int) -> int:
        """How many of them do not end within the first `num_bytes` of their shard."""
        offsets, sizes, _ = self._numbers
        return int(np.count_nonzero(offsets + sizes > num_bytes))

    def places(self, first: int = 0) -> Iterator[_Place]:
        """From the `first` member on; keys are looked up some thousand at a time."""
        for start in range(first, len(self._samples), 4096):
            chosen = slice(start, start + 4096)
            keys = self._index.keys[self._samples[chosen]]
            names = (self._index.fields[number] for number in self._fields[chosen].tolist())
            yield from map(_Place, keys, names, *(column[chosen].tolist() for column in self._numbers))


class _Split:
    """One split of a dataset with a manifest."""

    def __init__(self, directory: Path, manifest: Manifest, name: str, progress: Progress | None) -> None:
        self.directory = directory
        self.name = name
        self.info = manifest.splits[name]
        self.fields = tuple(manifest.fields)
        self._tell: Progress = progress or (lambda num_bytes: None)

    def damage(self) -> Iterator[Damage]:
        index = None
        problems = list(self._index_damage())
        if not problems:
            try:
                index = load_index(self.directory, self.name, self.info, self.fields)
                problems = list(self._record_damage(index.records["shard"]))
            except ShardError as error:
                problems.append(Damage(os.path.basename(error.shard), "", "", error.what))
        yield from problems
        start = 0
        for shard in self.info.shards:
            end = start + shard.num_samples
            try:
                expected = None if index is None or problems else _Expected(index, start, end)
                yield from self._shard_damage(shard, expected)
            except ShardError as error:  # of the keys, which the checksum of their file cannot tell
                yield Damage(error.shard, error.key, error.field, error.what)
            start = end

    def _index_damage(self) -> Iterator[Damage]:
        for info in (self.info.index, self.info.keys):
            try:
                with open_file(self.directory / info.name, info.name) as file, reading(info.name):
                    sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
            except ShardError as error:
                yield Damage(info.name, "", "", f"{error.what}; {_ANEW}")
            else:
                if sha256 != info.sha256:
                    yield Damage(info.name, "", "", f"it is damaged (SHA-256); {_ANEW}")

    def _record_damage(self, shards: np.ndarray) -> Iterator[Damage]:
        expected = np.repeat(np.arange(len(self.info.shards)), [shard.num_samples for shard in self.info.shards])
        if not np.array_equal(shards, expected):
            yield Damage(self.info.index.name, "", "", "its samples are not in the order of the manifest's shards")

    def _shard_damage(self, shard: ShardInfo, expected: _Expected | None) -> Iterator[Damage]:
        try:
            file = open_file(self.directory / shard.name, shard.name)
        except ShardError as error:
            self._tell(shard.num_bytes)
            yield Damage(shard.name, "", "", f"{error.what} ({shard.num_samples:,} samples)")
            return
        with file:
            num_bytes = file.seek(0, 2)
            is_whole = num_bytes == shard.num_bytes
            if not is_whole:
                yield Damage(shard.name, "", "", _wrong_size(shard, num_bytes, expected))
            whole_pass = _Pass(file, shard.name, num_bytes, self._tell)
            try:
                contents = whole_pass.contents(iter(()) if expected is None else expected.places())
                for damage in itertools.chain(contents, whole_pass.structure(expected, is_whole)):
                    is_whole = False
                    yield damage
            except OSError as error:
                yield Damage(shard.name, "", "", f"it cannot be read: {error.strerror or error}")
                return
            if is_whole and whole_pass.sha256.hexdigest() != shard.sha256:
                why = "" if expected is None else ": its members are whole, bytes between them changed"
                yield Damage(shard.name, "", "", f"its SHA-256 is not that of the manifest{why}")


def _wrong_size(shard: ShardInfo, num_bytes: int, expected: _Expected | None) -> str:
    sizes = f"it has {num_bytes:,} bytes and should have {shard.num_bytes:,}"
    if num_bytes > shard.num_bytes:
        return sizes
    num_gone = 0 if expected is None else expected.num_beyond(num_bytes)
    return f"it was cut short: {sizes}" + (f"; {count_text(num_gone, 'field')} gone with its end" if num_gone else "")


class _Pass:
    """One pass over a shard."""

    def __init__(self, file: BinaryIO, name: str, num_bytes: int, tell: Progress) -> None:
        self.sha256 = hashlib.sha256()
        self._file = file
        self._name = name
        self._num_bytes = num_bytes
        self._tell = tell

    def contents(self, places: Iterator[_Place]) -> Iterator[Damage]:
        """Members whose bytes changed or are missing. The whole file is read, and hashed, once and in its order."""
        position = self._file.seek(0)
        for key, field, offset, size, crc in places:
            if offset < position or offset + size > self._num_bytes:
                is_gone = offset + size > self._num_bytes
                where = "after the end of the shard" if is_gone else "before the end of the member before it"
                what = f"it is not there: its bytes {offset:,} + {size:,} would lie {where}"
                yield Damage(self._name, key, field, what, is_detail=is_gone)
                continue
            self._through(offset - position)
            found = self._through(size)
            position = offset + size
            if found != crc:
                what = f"its bytes changed (CRC-32 {found:08x} instead of {crc:08x})"
                yield Damage(self._name, key, field, what)
        self._through(self._num_bytes - position)

    def structure(self, expected: "_Expected | None", is_whole: bool) -> Iterator[Damage]:
        """Where the members of the tar file are not those of the index."""
        known = 0
        try:
            places = iter(()) if expected is None else expected.places()
            for member in members(self._file, self._name):
                if expected is None:
                    continue
                place = next(places, None)
                if place is None:
                    yield Damage(self._name, "", "", f"the index does not know its member {member.name!r}")
                    return
                known += 1
                key, field, offset, size, _ = place
                if member != (f"{key}.{field}", offset, size):
                    what = f"in its place lies {member.name!r} (bytes {member.offset:,} + {member.size:,})"
                    yield Damage(self._name, key, field, what)
                    return
            if place := next(places, None):
                is_gone = place.offset + place.size > self._num_bytes
                yield Damage(self._name, place.key, place.field, "the tar file ends before it", is_detail=is_gone)
        except ShardError as error:
            found = False
            for found_damage in self._damaged_headers(iter(()) if expected is None else expected.places(known)):
                found = True
                yield found_damage
            if not found and is_whole:  # otherwise it is no news that it was cut short
                yield Damage(self._name, error.key, error.field, error.what)

    def _damaged_headers(self, places: Iterator[_Place]) -> Iterator[Damage]:
        for key, field, offset, _, _ in places:
            if not BLOCK <= offset <= self._num_bytes:
                continue
            self._file.seek(offset - BLOCK)
            try:
                parse_header(self._file.read(BLOCK), self._name)
            except ShardError:
                yield Damage(self._name, key, field, f"its header at byte {offset - BLOCK:,} is damaged")

    def _through(self, num_bytes: int) -> int:
        """Read on; the CRC-32 of what was read."""
        crc = 0
        while num_bytes > 0 and (chunk := self._file.read(min(num_bytes, CHUNK_BYTES))):
            self.sha256.update(chunk)
            crc = zlib.crc32(chunk, crc)
            num_bytes -= len(chunk)
            self._tell(len(chunk))
        return crc


def _verify_foreign(listing: Listing, progress: Progress | None) -> Iterator[Damage]:
    for split, names in listing.splits.items():
        is_whole = True
        for name in names:
            try:
                found = _scanned(listing, (name,))
            except ShardError as error:
                is_whole = False
                yield Damage(error.shard or name, error.key, error.field, error.what)
            else:
                for ignored in found.ignored:
                    yield Damage(name, "", "", f"{ignored.removeprefix(f'{name}: ')!r} belongs to no sample", True)
            if progress is not None:
                with contextlib.suppress(OSError):
                    progress((listing.directory / name).stat().st_size)
        if is_whole and listing.kind == "quix":
            found = _scanned(listing, names)
            try:
                check_quix_index(listing.directory, split, found)
            except ShardError as error:
                yield Damage(error.shard, error.key, error.field, error.what)


def _scanned(listing: Listing, names: tuple[str, ...]) -> Scanned:
    return scan(listing.directory, names, checksums=False, split_name=listing.split_name, may_recur=True)


def _debris(directory: Path, manifest: Manifest) -> Iterator[Damage]:
    """Files that look like parts of the dataset, and are none."""
    named = {MANIFEST}
    for split in manifest.splits.values():
        named |= {split.index.name, split.keys.name, *(shard.name for shard in split.shards)}
    for name in sorted(os.listdir(directory)):
        if name in named:
            continue
        if name == WRITING:
            yield Damage(name, "", "", "a writer is at work, or was killed; the next one removes it", True)
        elif name == PARTS:
            yield Damage(name, "", "", "parts that are not merged", True)
        elif name.endswith((".index.npy", ".keys")):
            yield Damage(name, "", "", "of the dataset as it was before; nobody who opens it now reads it", True)
        elif name.endswith((".tar", ".tmp")):
            yield Damage(name, "", "", "the manifest does not name it, and nothing reads it", True)
