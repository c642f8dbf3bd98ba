"""`dataset.json` and the index of a directory of tar files, from the tar files alone. No torch."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labwright.args.wording import listed
from labwright.runs.durable import disk_errors
from labwright.runs.lock import RunIsBusy, RunLock

from .codecs import codec_name
from .errors import ShardError
from .index import index_dtype, key_blob, make_index, write_index
from .listing import Listing, SplitName, strict_name
from .manifest import FILE_PATTERN, MANIFEST, FieldInfo, Manifest, ShardInfo, SplitInfo, read_manifest, write_manifest
from .names import check_split
from .opened import find_listing
from .publish import remove_index_files
from .quix import quix_listing
from .scan import Progress, Scanned, scan
from .webdataset import webdataset_listing

DAMAGED_MANIFEST = "dataset.json.damaged"
_CONVERT = "`labwright data convert` writes the samples anew"


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild made."""

    manifest: Manifest
    notes: tuple[str, ...]
    """What a user should know, a line each."""


def rebuild(path: Path | str, *, accept_changes: bool = False, progress: Progress | None = None) -> Rebuilt:
    """Make the index and the manifest of a directory anew; its tar files are read and stay as they are.

    What tar files cannot tell is kept from the manifest there is: which shards belong to which split, codecs, and
    metadata. A directory of WebDataset or quix becomes a dataset with checksums, in place.

    Args:
        accept_changes: a shard that is not the file that was written counts as it is now. Otherwise it is refused, for
            afterwards nobody could tell any more that it is damaged.

    Raises:
        ShardError: it is no directory of shards; one is missing, damaged or changed; a name in it is none that
            labwright writes.
        RunIsBusy: a writer is at work there.
    """
    directory = Path(path)
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        raise ShardError(f"{directory} {what}; an index is made in the directory of the shards")
    try:
        lock = RunLock.take(directory)
    except RunIsBusy:
        raise RunIsBusy(f"{directory} is being written by another process; wait for it or stop it") from None
    with lock:
        return _rebuild(directory, accept_changes, progress)


def _rebuild(directory: Path, accept_changes: bool, progress: Progress | None) -> Rebuilt:
    before, notes = _before(directory)
    if before is None:
        listing = _listing(directory, has_manifest=bool(notes))
        _check_names(listing)
        shard_names, metadata, split_name = listing.splits, listing.metadata, _namer(listing)
    else:
        split_name = strict_name
        shard_names = {name: tuple(shard.name for shard in split.shards) for name, split in before.splits.items()}
        metadata = before.metadata
    found = {
        name: scan(directory, names, checksums=True, split_name=split_name, progress=progress)
        for name, names in shard_names.items()
    }
    if before is not None:
        notes += _changes(before, found, accept_changes)
    fields = _fields(before, found)
    if not fields:
        raise ShardError(f"{directory} has no samples: there is nothing to make an index of")
    splits: dict[str, SplitInfo] = {}
    for name, scanned in found.items():
        splits[name] = _write_split(directory, name, scanned, list(fields))
        notes += _missing_fields(name, splits[name], scanned, list(fields))
    manifest = Manifest(fields=fields, splits=splits, metadata=metadata)
    if before is None and (directory / MANIFEST).exists():
        with disk_errors(directory):
            os.replace(directory / MANIFEST, directory / DAMAGED_MANIFEST)
    write_manifest(directory, manifest)
    remove_index_files(directory, *([before] if before is not None else []), manifest)
    return Rebuilt(manifest, tuple(notes))


def _before(directory: Path) -> tuple[Manifest | None, list[str]]:
    """The manifest there is; None with a note: it is damaged, None without: there is none."""
    if not os.path.lexists(directory / MANIFEST):
        return None, []
    try:
        return read_manifest(directory), []
    except ShardError as error:
        what = "metadata and codecs were not kept; what can be read of them is in"
        return None, [f"{error.what}: {what} {DAMAGED_MANIFEST}"]


def _listing(directory: Path, *, has_manifest: bool) -> Listing:
    if not has_manifest:
        return find_listing(directory)
    listing = quix_listing(directory) or webdataset_listing(directory)
    if listing is None:
        raise ShardError(f"{directory} has no tar files")
    return listing


def _check_names(listing: Listing) -> None:
    """A ShardError if a manifest cannot name these splits and files."""
    for split, names in listing.splits.items():
        check_split(split)
        for name in names:
            if "/" in name:
                raise ShardError(f"a dataset has its shards side by side, not in folders; {_CONVERT}", shard=name)
            if not re.fullmatch(FILE_PATTERN, name):
                raise ShardError(f"a shard is named with letters, digits, _, - and dots; {_CONVERT}", shard=name)


def _namer(listing: Listing) -> SplitName:
    """Key and field as labwright cuts them, refused where the format they come from cuts them elsewhere."""

    def cut(name: str) -> tuple[str, str]:
        key, field = strict_name(name)
        theirs = listing.split_name(name)
        if theirs is None or theirs[0] != key:
            raise ShardError(f"{listing.kind} does not cut this name into {key!r} and {field!r}; {_CONVERT}")
        return key, field

    return cut


def _fields(before: Manifest | None, found: dict[str, Scanned]) -> dict[str, FieldInfo]:
    """The fields and their codecs; a ShardError if there is one that the manifest does not know."""
    names = dict.fromkeys(field for scanned in found.values() for field in scanned.fields)
    if before is None:
        return {name: FieldInfo(codec=codec_name(name)) for name in names}
    for scanned in found.values():
        for field in scanned.fields:
            if field not in before.fields:
                position = int(np.flatnonzero(scanned.records["fields"][field]["offset"])[0])
                shard = scanned.shards[int(scanned.records["shard"][position])].name
                what = f"{MANIFEST} knows no such field, only {listed(before.fields)}"
                raise ShardError(what, shard=shard, key=scanned.keys[position], field=field)
    return dict(before.fields)


def _write_split(directory: Path, name: str, scanned: Scanned, fields: Sequence[str]) -> SplitInfo:
    records = np.zeros(len(scanned.keys), index_dtype(fields))
    records["shard"] = scanned.records["shard"]
    for field in scanned.fields:
        records["fields"][field] = scanned.records["fields"][field]
    index, keys = write_index(directory, name, make_index(records, scanned.keys), key_blob(scanned.keys))
    shards = tuple(
        ShardInfo(name=shard.name, num_bytes=shard.num_bytes, sha256=shard.sha256, num_samples=shard.num_samples)
        for shard in scanned.shards
    )
    return SplitInfo(num_samples=len(records), shards=shards, index=index, keys=keys)


def _missing_fields(split: str, info: SplitInfo, scanned: Scanned, fields: Sequence[str]) -> list[str]:
    notes: list[str] = []
    for field in fields:
        has = int(np.count_nonzero(scanned.records["fields"][field]["offset"])) if field in scanned.fields else 0
        if has < info.num_samples:
            notes.append(f"{split}: {info.num_samples - has:,} of {info.num_samples:,} samples have no {field}")
    return notes


def _changes(before: Manifest, found: dict[str, Scanned], accept: bool) -> list[str]:
    notes: list[str] = []
    for name, split in before.splits.items():
        for old, new in zip(split.shards, found[name].shards, strict=True):
            if old.sha256 == new.sha256:
                continue
            what = "it is not the file that was written (SHA-256)"
            if not accept:
                way = "`labwright data verify` names what is damaged; --accept_changes takes it as it is"
                raise ShardError(f"{what}: {way}", shard=new.name)
            amount = f"{old.num_samples:,} samples before, {new.num_samples:,} now"
            notes.append(f"{new.name}: {what} and counts as it is now: {amount}")
    return notes
