"""Where a pack writes its parts: a folder that no other pack has; what a killed one left is cleared. No torch."""

import contextlib
from collections.abc import Generator
from pathlib import Path

from labwright.runs.durable import disk_errors, make_directory

from .errors import ShardError
from .merge import merge_parts
from .publish import JOURNAL, PACKING, PARTS, find_manifest, refuse_link, remove_folder
from .workplace import take_lock


@contextlib.contextmanager
def packing_place(path: Path, *, append: bool) -> Generator[None]:
    """Within this context the parts of the dataset at `path` are this process' alone; none are left when it ends.

    Raises:
        ShardError: there is a dataset and it shall not be added to, or others write parts of one.
    """
    if path.exists() and not path.is_dir():
        raise ShardError(f"{path} is a file; a dataset is a directory")
    parts, mark = path / PARTS, path / PACKING
    if (parts / JOURNAL).exists():  # an earlier pack was killed when all was written
        merge_parts(path)
    has_finished = mark.exists() and not append and find_manifest(path) is not None
    if has_finished:  # it was killed before it had cleared away
        make_directory(parts)
        with take_lock(parts):
            _clear(parts, mark)
    _check_dataset(path, append, has_finished)
    made = [each for each in (path, *path.parents) if not each.exists()]
    make_directory(parts)
    with take_lock(parts):
        if any(parts.iterdir()) and not mark.exists():
            raise ShardError(f"{parts} has parts that other writers left: merge them by merge_parts, or delete it")
        _discard(parts)
        try:
            with disk_errors(path):
                mark.touch()
            yield
        finally:
            _clear(parts, mark)
            _remove_empty(made)


def _clear(parts: Path, mark: Path) -> None:
    if not (parts / JOURNAL).exists():
        _discard(parts)
        with contextlib.suppress(FileNotFoundError):
            parts.rmdir()
    mark.unlink(missing_ok=True)


def _check_dataset(path: Path, append: bool, has_finished: bool) -> None:
    before = find_manifest(path)
    if before is not None and not append:
        num_samples = sum(split.num_samples for split in before.splits.values())
        what = f"{path} holds a dataset of {num_samples:,} samples already"
        if has_finished:
            raise ShardError(f"{what}: the pack that was killed there had written it whole")
        raise ShardError(f"{what}; choose another directory, or append to it")
    if before is None and append:
        raise ShardError(f"{path} holds no dataset to append to")
    if before is None and path.is_dir():
        strange = sorted(each.name for each in path.iterdir() if not each.name.startswith(".") and each.name != PARTS)
        if strange:
            raise ShardError(
                f"{path} holds {strange[0]!r} and no dataset of shards; choose a new directory or an empty one"
            )


def _discard(parts: Path) -> None:
    """Delete what a pack did not merge."""
    refuse_link(parts)
    for folder in parts.glob("*/"):
        with take_lock(folder):
            remove_folder(folder)


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
