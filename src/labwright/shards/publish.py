"""How finished files become part of a dataset, in one step as readers see it. No torch.

Files are written into a folder of their own below the dataset, `.writing` or `parts`, and moved from there:

    journal written -> files moved up -> dataset.json replaced -> the folder removed

A kill before `dataset.json` is replaced leaves what was there before, and the journal knows which files to take back,
or to go on with.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from labwright.runs.durable import DiskError, disk_errors, file_sha256, remove_file, sync_directory, write_durably

from .errors import ShardError
from .index import Index, Keys, load_index, write_index
from .manifest import (
    MANIFEST,
    FieldInfo,
    FileName,
    Manifest,
    ShardInfo,
    SplitInfo,
    manifest_text,
    read_manifest,
    write_manifest,
)

WRITING = ".writing"
"""Folder of a writer's unfinished files."""
PARTS = "parts"
"""Folder of the parts that wait to be merged, each a folder and a dataset of its own: `000000`, `000001`, ..."""
PACKING = ".packing"
"""Beside the parts while a pack writes them: it merges them itself, and writes them all again if it was killed."""
JOURNAL = "journal.json"
_INDEX_FILE = re.compile(r"[A-Za-z0-9_]+\.[0-9a-f]{8}\.(index\.npy|keys)")


@dataclass(frozen=True)
class StagedSplit:
    """Samples of one split that are on disk and not yet in the dataset."""

    shards: tuple[ShardInfo, ...]
    records: np.ndarray
    """Of `index_dtype`; shards are counted, and keys end, as if nothing came before."""
    keys: bytes
    """A newline behind each."""


@dataclass(frozen=True)
class Staged:
    """Finished shards in a folder, and what is known of them."""

    folder: str
    """Within the folder that holds the journal; empty: that one itself."""
    fields: dict[str, FieldInfo]
    metadata: dict[str, Any]
    splits: dict[str, StagedSplit]


class Journal(BaseModel):
    """What is to be, and which files have to be moved for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Manifest
    folders: tuple[Annotated[str, StringConstraints(pattern=r"^([0-9]{6})?$")], ...]
    """Those of the parts that are merged."""
    moves: dict[FileName, Annotated[str, StringConstraints(pattern=r"^([0-9]{6}/)?[A-Za-z0-9_][A-Za-z0-9_.-]*$")]]
    """Name in the dataset -> name below the folder of the journal."""


def find_manifest(directory: Path) -> Manifest | None:
    """The manifest in `directory`; None: there is none."""
    return read_manifest(directory) if os.path.lexists(directory / MANIFEST) else None


def load_keys(directory: Path, split: str, manifest: Manifest) -> list[str]:
    """The keys of a split, in their order."""
    return split_keys(_loaded(directory, split, manifest)[1])


def split_keys(blob: bytes) -> list[str]:
    """The keys in a blob of them; a ShardError if they are not text."""
    try:
        return blob.decode().split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise ShardError(f"the keys of the dataset are damaged at byte {error.start:,}: they are not UTF-8") from None


def load_staged(directory: Path, folder: str) -> Staged:
    """A finished part, `folder` in `directory`."""
    path = directory / folder
    manifest = read_manifest(path)
    splits = {
        name: StagedSplit(split.shards, *_loaded(path, name, manifest)) for name, split in manifest.splits.items()
    }
    return Staged(folder, manifest.fields, manifest.metadata, splits)


def seal_part(folder: Path, staged: Staged) -> Manifest:
    """Make a dataset of the shards in `folder`, where they lie."""
    splits = {name: _split_info(folder, name, split) for name, split in staged.splits.items()}
    manifest = Manifest(fields=staged.fields, splits=splits, metadata=staged.metadata)
    write_manifest(folder, manifest)
    return manifest


def publish(directory: Path, folder: Path, staged: Sequence[Staged], *, metadata: dict[str, Any]) -> Manifest:
    """Add what is staged in `folder` to the dataset in `directory`, or make it one; the new manifest."""
    before = find_manifest(directory)
    journal = _plan(directory, folder, before, staged, metadata)
    if journal.manifest == before:
        return journal.manifest
    manifest_text(journal.manifest)  # if nobody could read it, nothing is moved
    write_durably(folder / JOURNAL, journal.model_dump_json().encode())
    finish(directory, folder, journal)
    with contextlib.suppress(DiskError):  # the dataset is whole, and they are in nobody's way
        remove_index_files(directory, *([] if before is None else [before]), journal.manifest)
    return journal.manifest


def finish(directory: Path, folder: Path, journal: Journal) -> None:
    """Do what the journal says, or what is left of it; a second time changes nothing."""
    for name, source in journal.moves.items():
        with disk_errors(directory / name):
            if (folder / source).exists():
                os.replace(folder / source, directory / name)
            elif not (directory / name).exists():
                raise ShardError(f"cannot be merged: {folder / source} is missing", shard=directory / name)
    with disk_errors(directory):
        sync_directory(directory)
    if find_manifest(directory) != journal.manifest:
        write_manifest(directory, journal.manifest)


def take_back(directory: Path, folder: Path) -> None:
    """Remove `folder` with all that a dead writer left in it, and what it had moved up already."""
    if not folder.is_dir():
        return
    journal, now = read_journal(folder), find_manifest(directory)
    if journal is not None and journal.manifest != now:
        named = set[str]() if now is None else set(_file_names(now))
        for name in journal.moves:
            if name not in named:
                remove_file(directory / name)
    remove_folder(folder)


def read_journal(folder: Path) -> Journal | None:
    """The journal in `folder`; None: nothing was to be moved yet."""
    try:
        return Journal.model_validate(json.loads((folder / JOURNAL).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ShardError(f"{folder / JOURNAL} is damaged ({what}); delete the folder to lose what is in it") from None


def remove_folder(folder: Path) -> None:
    """Delete a folder of files: the manifest first, which stands for the others; last the journal, which names them."""
    refuse_link(folder)
    with disk_errors(folder):
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == JOURNAL, path.name != MANIFEST)):
            path.unlink()
        folder.rmdir()
        sync_directory(folder.parent)


def refuse_link(folder: Path) -> None:
    """A ShardError if a folder whose files are going to be deleted may be anywhere else."""
    if folder.is_symlink():
        raise ShardError(f"{folder} is a symbolic link, which no writer made; delete it")


def remove_index_files(directory: Path, *named: Manifest) -> None:
    """Delete the index files that none of the manifests names.

    Whoever opened the dataset before it was changed reads on, from new processes too, if that manifest is among them.
    """
    kept = {name for manifest in named for name in _file_names(manifest)}
    for name in os.listdir(directory):
        if _INDEX_FILE.fullmatch(name) and name not in kept:
            remove_file(directory / name)


def _plan(
    directory: Path, folder: Path, before: Manifest | None, staged: Sequence[Staged], metadata: dict[str, Any]
) -> Journal:
    splits = {} if before is None else dict(before.splits)
    moves: dict[str, str] = {}
    for name in dict.fromkeys(name for each in staged for name in each.splits):
        added = [(each.folder, each.splits[name]) for each in staged if name in each.splits]
        if name in splits and not any(len(split.records) for _, split in added):
            continue
        together: list[StagedSplit] = []
        if before is not None and name in splits:
            together.append(StagedSplit(splits[name].shards, *_loaded(directory, name, before)))
        number = _next_number(directory, name)
        for place, split in added:
            renamed: list[ShardInfo] = []
            for shard in split.shards:
                target = shard_name(name, number)
                moves[target] = f"{place}/{shard.name}" if place else shard.name
                renamed.append(shard.model_copy(update={"name": target}))
                number += 1
            together.append(StagedSplit(tuple(renamed), split.records, split.keys))
        splits[name] = _split_info(folder, name, _joined(together))
        moves |= {file.name: file.name for file in (splits[name].index, splits[name].keys)}
    fields = staged[0].fields if before is None else before.fields
    manifest = Manifest(fields=fields, splits=splits, metadata=metadata)
    return Journal(manifest=manifest, folders=tuple(each.folder for each in staged), moves=moves)


def shard_name(split: str, number: int) -> str:
    """`train-000000.tar`."""
    return f"{split}-{number:06d}.tar"


def _next_number(directory: Path, split: str) -> int:
    """The first number from which on no shard of this split lies in the dataset, named by the manifest or not."""
    pattern = re.compile(rf"{split}-([0-9]{{6,}})\.tar")
    found = [pattern.fullmatch(name) for name in os.listdir(directory)]
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _split_info(folder: Path, name: str, split: StagedSplit) -> SplitInfo:
    """What a manifest says of the split, whose index is in `folder` from now on."""
    index = Index(split.records, Keys(split.keys, split.records["key_end"]))
    index_file, keys_file = write_index(folder, name, index, split.keys)
    return SplitInfo(num_samples=len(index), shards=split.shards, index=index_file, keys=keys_file)


def _joined(splits: Sequence[StagedSplit]) -> StagedSplit:
    """Samples one after another, as one split."""
    if len(splits) == 1:
        return splits[0]
    records = np.concatenate([split.records for split in splits])
    start = num_shards = num_bytes = 0
    for split in splits:
        own = records[start : start + len(split.records)]
        own["shard"] += num_shards
        own["key_end"] += num_bytes
        start, num_shards, num_bytes = start + len(own), num_shards + len(split.shards), num_bytes + len(split.keys)
    shards = tuple(shard for split in splits for shard in split.shards)
    return StagedSplit(shards, records, b"".join(split.keys for split in splits))


def _loaded(directory: Path, name: str, manifest: Manifest) -> tuple[np.ndarray, bytes]:
    """The records and the keys of a split: whole, as they get a checksum of their own next."""
    split = manifest.splits[name]
    for file in (split.index, split.keys):
        if file_sha256(directory / file.name) != file.sha256:
            raise ShardError(f"{directory / file.name} is damaged (SHA-256): rebuild the index first")
    records = load_index(directory, name, split, list(manifest.fields)).records
    return records, (directory / split.keys.name).read_bytes()


def _file_names(manifest: Manifest) -> Iterable[str]:
    for split in manifest.splits.values():
        yield from (split.index.name, split.keys.name, *(shard.name for shard in split.shards))
