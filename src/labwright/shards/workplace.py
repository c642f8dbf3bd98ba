"""The folder a writer works in, which no other writer has. No torch."""

import contextlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labwright.runs.durable import DiskError, disk_errors, make_directory, remove_temporaries
from labwright.runs.lock import RunIsBusy, RunLock

from .errors import ShardError
from .manifest import MANIFEST, Manifest
from .publish import JOURNAL, PARTS, WRITING, find_manifest, load_keys, refuse_link, remove_folder, take_back


@dataclass
class Workplace:
    """A locked folder for files that are not in the dataset yet."""

    directory: Path
    """Of the dataset."""
    folder: Path
    before: Manifest | None
    """The dataset that is there already."""
    is_part: bool
    _lock: RunLock
    _made: Sequence[Path]
    """Directories that were not there before, the innermost first."""

    def keys(self, split: str) -> set[str]:
        """Those of the samples that the dataset has already."""
        if self.before is None or split not in self.before.splits:
            return set()
        return set(load_keys(self.directory, split, self.before))

    def clear(self) -> None:
        """Remove the folder and all that was made for it; what the dataset had before stays."""
        with contextlib.suppress(DiskError):  # a disk that failed may refuse this too; the next writer does it then
            if self.is_part:
                remove_folder(self.folder)
            else:
                take_back(self.directory, self.folder)
        self._lock.release()
        _remove_empty(self._made)

    def leave(self) -> None:
        """Let others write; a part stays where it is, and of what was published nothing is left in the folder."""
        if not self.is_part:
            with contextlib.suppress(DiskError):  # the dataset is whole; the next writer cleans up
                remove_folder(self.folder)
        self._lock.release()


def open_workplace(directory: Path, part: int | None, *, append: bool) -> Workplace:
    """A fresh folder to write in, for the dataset or for a part of it; what dead writers left there is gone.

    Raises:
        ShardError: a dataset is there and shall not be added to, something else is, or another process writes there.
        DiskError: the directory cannot be written.
    """
    locked = directory if part is None else part_folder(directory, part)
    with disk_errors(directory):
        if os.path.lexists(directory) and not directory.is_dir():
            raise ShardError(f"{directory} is a file; a dataset is a directory")
        made = [path for path in (locked, *locked.parents) if not path.exists()]
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_empty, made)
        make_directory(locked)
        lock = undo.enter_context(take_lock(locked))
        folder = _cleared(directory) if part is None else _cleared_part(directory, locked)
        before = _dataset_before(directory, append)
        if part is None:
            _refuse_parts(directory)
            with disk_errors(directory):
                folder.mkdir()
        undo.pop_all()
    return Workplace(directory, folder, before, part is not None, lock, made)


def part_folder(directory: Path, part: int) -> Path:
    """Where the part of this number is."""
    return directory / PARTS / f"{part:06d}"


def take_lock(folder: Path) -> RunLock:
    """The right to write there; a ShardError if another process has it."""
    try:
        lock = RunLock.take(folder)
    except RunIsBusy:
        raise ShardError(
            f"{folder} is being written by another process; wait for it, or let each process write a part of its own "
            "(part=0, part=1, ...)"
        ) from None
    if lock.problem is not None:
        warnings.warn(f"{folder} cannot be locked on this system: write it from one process only", stacklevel=4)
    return lock


def _cleared(directory: Path) -> Path:
    folder = directory / WRITING
    take_back(directory, folder)
    remove_temporaries(directory)
    return folder


def _cleared_part(directory: Path, folder: Path) -> Path:
    for each in (folder.parent, folder):
        refuse_link(each)
    if (directory / PARTS / JOURNAL).exists():
        raise ShardError(f"the parts of {directory} are being merged; merge_parts finishes that")
    if (folder / MANIFEST).exists():
        raise ShardError(f"{folder} is written already; delete it to write this part again")
    with disk_errors(folder):
        for path in folder.iterdir():
            path.unlink()
    return folder


def _dataset_before(directory: Path, append: bool) -> Manifest | None:
    before = find_manifest(directory)
    if before is not None and not append:
        num_samples = sum(split.num_samples for split in before.splits.values())
        raise ShardError(
            f"{directory} holds a dataset of {num_samples:,} samples already; add to it by append=True, or choose "
            "another directory"
        )
    if before is None:
        with disk_errors(directory):
            strange = sorted(name for name in os.listdir(directory) if name[0] != "." and name != PARTS)
        if strange:
            raise ShardError(
                f"{directory} holds {', '.join(strange[:3])}{', ...' * (len(strange) > 3)} and no dataset of shards; "
                "choose a new directory or an empty one"
            )
    return before


def _refuse_parts(directory: Path) -> None:
    parts = directory / PARTS
    if parts.is_dir() and any(parts.iterdir()):
        raise ShardError(f"{parts} holds parts that are not merged; merge them by merge_parts, or delete the folder")


def _remove_empty(directories: Sequence[Path]) -> None:
    """Delete those of the directories, the innermost first, in which nobody put anything."""
    with contextlib.suppress(OSError):
        for directory in directories:
            if directory.exists():
                directory.rmdir()
