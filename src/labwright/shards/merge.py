"""Make one dataset of the parts that several processes wrote. No torch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labwright.args.wording import listed
from labwright.runs.durable import disk_errors, remove_file, remove_temporaries

from .errors import ShardError
from .manifest import MANIFEST, FieldInfo, Manifest
from .publish import (
    JOURNAL,
    PACKING,
    PARTS,
    WRITING,
    Staged,
    find_manifest,
    finish,
    load_keys,
    load_staged,
    publish,
    read_journal,
    refuse_link,
    remove_folder,
    remove_index_files,
    split_keys,
    take_back,
)
from .workplace import part_folder, take_lock
from .writer_fields import plain_metadata


def merge_parts(
    path: str | Path, *, num_parts: int | None = None, metadata: Mapping[str, Any] | None = None
) -> Manifest:
    """Make the parts at `path` a dataset, or add them to the one there, in the order of their numbers.

    Shards are renamed, not copied. After a kill, call it again: it goes on where it was.

    Args:
        path: As given to each `ShardWriter(path, part=...)`.
        num_parts: How many there have to be; without it a missing last part cannot be noticed.
        metadata: Kept in `dataset.json`, before what the parts have.

    Raises:
        ShardError: a part is missing, unfinished, or still being written; the parts have other fields than the
            dataset or than each other, other metadata, or a sample in common. Nothing is changed then.
        DiskError: the disk is full, or failed; the parts are there still.
    """
    directory = Path(path)
    folder = directory / PARTS
    if num_parts is not None and num_parts < 1:
        raise ShardError(f"num_parts is a number above 0, not {num_parts!r}")
    with disk_errors(directory):
        refuse_link(folder)
        if not folder.is_dir():
            raise ShardError(f"{directory} has no parts to merge; they are written by ShardWriter(path, part=0)")
    with take_lock(directory):
        for each in (directory, folder):
            remove_temporaries(each)
        journal, before = read_journal(folder), find_manifest(directory)
        if before is not None and not any(folder.iterdir()):  # a kill came when all but this was done
            remove_folder(folder)
            return before
        if journal is None:
            manifest = _merge(directory, before, num_parts, plain_metadata(metadata or {}))
        else:
            finish(directory, folder, journal)
            manifest = journal.manifest
        _remove_parts(folder)
    return manifest


def _merge(directory: Path, before: Manifest | None, num_parts: int | None, metadata: dict[str, Any]) -> Manifest:
    folder = directory / PARTS
    numbers = _numbers(folder)
    wanted = range(num_parts if num_parts is not None else max(numbers, default=0) + 1)
    if num_parts is None and (directory / PACKING).exists():
        raise ShardError(f"{folder} holds parts of a pack that was killed, or is at work: pack once more")
    if missing := sorted(set(wanted) - set(numbers)):
        raise ShardError(f"{folder} lacks the part {missing[0]}; write it by ShardWriter(path, part={missing[0]})")
    if len(numbers) > len(wanted):
        raise ShardError(f"{folder} has {len(numbers)} parts, not {num_parts}")
    for number in numbers:
        _check_finished(directory, number)
    take_back(directory, directory / WRITING)
    staged = [load_staged(folder, part_folder(directory, number).name) for number in numbers]
    _check_fields(before, staged)
    _check_shards(folder, staged)
    _check_keys(directory, before, staged)
    together = _metadata(staged, metadata)
    remove_index_files(folder)
    return publish(directory, folder, staged, metadata=together if before is None else before.metadata | together)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if re.fullmatch("[0-9]{6}", path.name))


def _check_finished(directory: Path, number: int) -> None:
    folder = part_folder(directory, number)
    if not (folder / MANIFEST).exists():
        take_lock(folder).release()
        raise ShardError(f"the part {number} was not finished; write it by ShardWriter(path, part={number})")


def _check_fields(before: Manifest | None, staged: Sequence[Staged]) -> None:
    fields = staged[0].fields if before is None else before.fields
    whose = f"the part {staged[0].folder}" if before is None else "the dataset"
    for each in staged:
        if list(each.fields.items()) != list(fields.items()):
            raise ShardError(
                f"the part {each.folder} has the fields {_described(each.fields)}, {whose} has {_described(fields)}"
            )


def _described(fields: Mapping[str, FieldInfo]) -> str:
    return listed(field if field.endswith(info.codec) else f"{field} ({info.codec})" for field, info in fields.items())


def _check_shards(folder: Path, staged: Sequence[Staged]) -> None:
    for each in staged:
        for shard in (shard for split in each.splits.values() for shard in split.shards):
            path = folder / each.folder / shard.name
            if not path.is_file() or path.stat().st_size != shard.num_bytes:
                raise ShardError(f"it is missing, or does not have its {shard.num_bytes:,} bytes", shard=path)


def _check_keys(directory: Path, before: Manifest | None, staged: Sequence[Staged]) -> None:
    splits = () if before is None else before.splits
    for name in {name: None for each in staged for name in each.splits}:
        owners: dict[str, str] = {}
        if before is not None and name in splits:
            owners = dict.fromkeys(load_keys(directory, name, before), "the dataset")
        for each in staged:
            owner = f"the part {each.folder}"
            for key in split_keys(each.splits[name].keys) if name in each.splits else ():
                other = owners.setdefault(key, owner)
                if other is not owner:
                    raise ShardError(f"{other} and {owner} both have a sample of split {name!r} with this key", key=key)


def _metadata(staged: Sequence[Staged], given: dict[str, Any]) -> dict[str, Any]:
    """What was given, and what the parts have besides."""
    found = dict(given)
    for each in staged:
        for name, value in each.metadata.items():
            if name not in given and found.setdefault(name, value) != value:
                raise ShardError(
                    f"the part {each.folder} has other metadata {name!r} than a part before it; say which by "
                    f"merge_parts(path, metadata={{{name!r}: ...}})"
                )
    return found


def _remove_parts(folder: Path) -> None:
    """Delete the folders of the parts that are merged; the journal goes last, so that a kill does not matter."""
    journal = read_journal(folder)
    for name in () if journal is None else journal.folders:
        if (folder / name).is_dir():
            remove_folder(folder / name)
    if any(path.is_dir() for path in folder.iterdir()):  # others write parts already
        remove_file(folder / JOURNAL)
    else:
        remove_folder(folder)
