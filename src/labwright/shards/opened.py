"""Datasets of shards, opened: labwright's own without reading the index, those of others by a scan. No torch."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labwright.args.wording import listed, not_one_of, one_line

from .codecs import codec_name
from .disk import place_of, reading
from .errors import ShardError
from .index import Index, load_index, make_index
from .listing import Kind, Listing
from .manifest import MANIFEST, Manifest, manifest_bytes, parse_manifest
from .publish import JOURNAL, PACKING, PARTS, WRITING
from .quix import check_quix_index, quix_listing
from .scan import Progress, Scanned, scan
from .webdataset import is_pattern, webdataset_listing


class StoredShard(NamedTuple):
    """A tar file of a dataset."""

    path: Path
    num_bytes: int
    """As it was written, or scanned."""


class OpenedSplit:
    """One split: its shards, and where in them its samples lie. Can be pickled; the index is mapped when it is used."""

    def __init__(
        self,
        name: str,
        shards: tuple[StoredShard, ...],
        num_samples: int,
        index: Index | Callable[[], Index],
        *,
        has_checksums: bool,
    ) -> None:
        self.name = name
        self.shards = shards
        self.num_samples = num_samples
        self.has_checksums = has_checksums
        """Whether the records know the CRC-32 of each member."""
        self._index = index
        self._loaded: Index | None = index if isinstance(index, Index) else None

    @property
    def index(self) -> Index:
        if self._loaded is None:
            assert not isinstance(self._index, Index)
            self._loaded = self._index()
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": self._index if isinstance(self._index, Index) else None}


@dataclass(frozen=True)
class Opened:
    """A dataset of shards, whoever wrote it."""

    directory: Path
    kind: Kind
    splits: tuple[str, ...]
    metadata: dict[str, Any]
    codecs: dict[str, str]
    """Field -> name of its codec."""
    fingerprint: str
    """The same for the same content: SHA-256 of the manifest, or of what a scan found."""
    notes: tuple[str, ...] = ()
    """What a user might like to know: members that belong to no sample."""
    _splits: dict[str, OpenedSplit] = field(default_factory=dict, repr=False)

    def split(self, name: str) -> OpenedSplit:
        """The split called `name`; a ShardError that names those there are."""
        if not self.splits:
            raise ShardError(f"{self.directory} has no splits")
        if name not in self._splits:
            raise ShardError(f"{self.directory} has no such split: {not_one_of(name, self.splits)}")
        return self._splits[name]


def open_dataset(path: Path | str, *, progress: Progress | None = None) -> Opened:
    """The dataset at `path`: a directory, a tar file, or a pattern of tar files (`data-{000000..000004}.tar`).

    Args:
        progress: told of the bytes of each shard that had to be scanned; labwright's own have an index instead.

    Raises:
        ShardError: there is none, or what describes it is damaged.
    """
    path = Path(path)
    with reading(one_line(str(path), 1000)):  # a directory that may not be entered, a name that is too long
        if (path / MANIFEST).is_file():
            return _open_own(path)
        listing = find_listing(path)
    return _open_foreign(listing, progress)


def find_listing(path: Path) -> Listing:
    """What the names of the files at `path` tell where there is no manifest; a ShardError if there are no shards."""
    if path.is_dir():
        if (path / WRITING).exists():
            raise ShardError(f"{path} was not finished: its writer was killed, or is at work; write the dataset again")
        if (path / PACKING).exists():
            raise ShardError(f"{path} was not packed to its end: the pack was killed, or is at work; pack once more")
        if any((path / PARTS).glob("[0-9]" * 6 + "/")) or (path / PARTS / JOURNAL).exists():
            raise ShardError(f"{path} has parts that are not merged yet: merge_parts({str(path)!r})")
        listing = quix_listing(path) or webdataset_listing(path)
        if listing is None:
            what = "neither dataset.json, nor config.json of quix, nor tar files"
            if compressed := sorted(each.name for each in path.glob("*.t*gz")):
                what = f"only compressed tar files ({listed(compressed, 2)}); decompress them first"
            raise ShardError(f"{path} holds no dataset of shards: {what}")
        return listing
    if path.is_file() or is_pattern(path):
        listing = webdataset_listing(path)
        assert listing is not None
        return listing
    raise ShardError(f"{path} does not exist" if not path.exists() else f"{path} is neither a directory nor a tar file")


def _open_own(directory: Path) -> Opened:
    text = manifest_bytes(directory)
    manifest = parse_manifest(text, directory / MANIFEST)
    splits = {name: own_split(directory, manifest, name) for name in manifest.splits}
    return Opened(
        directory,
        "labwright",
        tuple(splits),
        manifest.metadata,
        {name: info.codec for name, info in manifest.fields.items()},
        hashlib.sha256(text).hexdigest(),
        _splits=splits,
    )


def own_split(directory: Path, manifest: Manifest, name: str) -> OpenedSplit:
    """A split as the manifest describes it."""
    info = manifest.splits[name]
    shards = tuple(StoredShard(directory / shard.name, shard.num_bytes) for shard in info.shards)
    load = partial(load_index, directory, name, info, tuple(manifest.fields))
    return OpenedSplit(name, shards, info.num_samples, load, has_checksums=True)


def _open_foreign(listing: Listing, progress: Progress | None) -> Opened:
    fingerprint = hashlib.sha256()
    splits: dict[str, OpenedSplit] = {}
    codecs: dict[str, str] = {}
    notes: list[str] = []
    if not (listing.directory / MANIFEST).exists() and any(listing.directory.glob("*.index.npy")):
        notes.append(f"{MANIFEST} is missing, so there are no checksums; `labwright data index` makes it anew")
    for name in listing.splits:
        found = scan_foreign(listing, name, progress)
        index = make_index(found.records, found.keys)
        for shard in found.shards:
            fingerprint.update(os.fsencode(f"{name}\0{shard.name}\0{shard.num_bytes}\0"))
        fingerprint.update(repr(found.fields).encode() + np.ascontiguousarray(found.records).tobytes())
        fingerprint.update("\n".join(found.keys).encode())
        codecs |= {each: codec_name(each) for each in found.fields}
        if found.ignored:
            notes.append(f"{len(found.ignored):,} members belong to no sample: {listed(found.ignored, 3)}")
        shards = tuple(StoredShard(listing.directory / shard.name, shard.num_bytes) for shard in found.shards)
        splits[name] = OpenedSplit(name, shards, len(index), index, has_checksums=False)
    return Opened(
        listing.directory,
        listing.kind,
        tuple(splits),
        listing.metadata,
        codecs,
        fingerprint.hexdigest(),
        tuple(notes),
        splits,
    )


def scan_foreign(listing: Listing, split: str, progress: Progress | None) -> Scanned:
    """The samples of one split, as its tar files have them."""
    names = listing.splits[split]
    try:
        found = scan(
            listing.directory, names, checksums=False, split_name=listing.split_name, may_recur=True, progress=progress
        )
        if listing.kind == "quix":
            check_quix_index(listing.directory, split, found)
    except ShardError as error:
        if not error.shard:
            raise
        place = place_of(listing.directory / error.shard)
        raise ShardError(error.what, shard=place, key=error.key, field=error.field) from error.__cause__
    return found
