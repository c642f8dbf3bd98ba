"""`CheckpointStore`: the newest and the best states of a run, and the index that names them."""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from labwright.args.errors import UserError

from ..artifacts import FOLDER as ARTIFACTS
from ..background import Background
from ..durable import (
    Payload,
    disk_errors,
    file_sha256,
    make_directory,
    remove_file,
    remove_temporaries,
    strict_json,
    sync_directory,
    write_durably,
)
from .damage import check_file, check_whole
from .index import FILE_NAME, CheckpointEntry, Role, numbered, parse_index, ranked, with_entry
from .shards import check_shards, remove_unnamed


class Found(NamedTuple):
    """The checkpoint that a run goes on from."""

    path: Path
    entry: CheckpointEntry | None
    """What the index says of it; None where there is no index to read."""
    rejected: list[str]
    """What is wrong with each newer one, a line each."""


class CheckpointStore:
    """The checkpoints in `directory`, within that of a run: the `keep_last` newest, and the `keep_best` best.

    At each moment, also in the middle of `save`, index.json names files that are there, whole and durable. Only files
    that it names are ever deleted, and at `sweep` those that a killed `save` left.

    Where `writer` calls `save`, on its thread, all else waits for that, and raises what went wrong there.
    """

    def __init__(self, directory: Path, *, keep_last: int = 1, keep_best: int = 1) -> None:
        self.directory = directory
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.writer = Background()

    @property
    def index_path(self) -> Path:
        return self.directory / "index.json"

    def save(
        self,
        step: int,
        epoch: int,
        data: Payload,
        metrics: Mapping[str, float],
        is_best: bool,
        score: float = math.nan,
    ) -> Path:
        """Store a checkpoint as the last one, and as the best if `is_best`; the ones it replaces are deleted after.

        `score`, lower is better, ranks it among the best few where it is not the best; NaN: it is none of them. What
        the index has of later steps goes too: the run went back behind them, since they were damaged.

        Raises:
            DiskError: the disk is full, or failed; the checkpoints before are still there.
        """
        make_directory(self.directory)
        if not self.index_path.exists():  # without, a killed first `save` would look like an index that was lost
            self._write_index({})
        previous = self.read_index()
        kept_files = {entry["file"] for entry in previous.values()}
        path = self._new_path(step, kept_files)
        digest = write_durably(path, data)
        entry = _entry(path, digest, epoch, step, metrics)
        if math.isfinite(score):
            entry["score"] = score
        index = with_entry(previous, entry, is_best=is_best, keep_last=self.keep_last, keep_best=self.keep_best)
        self._write_index(index)
        kept = {entry["file"] for entry in index.values()}
        replaced = kept_files - kept
        for file in replaced:
            remove_file(self.directory / file)
        if replaced:
            remove_unnamed(self.directory, (self.directory / file for file in kept))
            with disk_errors(self.directory):
                sync_directory(self.directory)  # or a power cut would bring them back
        return path

    def _write_index(self, index: dict[str, CheckpointEntry]) -> None:
        write_durably(self.index_path, strict_json(index, indent=2) + b"\n")

    def _new_path(self, step: int, kept_files: set[str]) -> Path:
        """A name that overwrites no file of the index: until the next index is written, that one must hold."""
        name, copy = f"step_{step:08d}.safetensors", 2
        while name in kept_files:
            name, copy = f"step_{step:08d}_{copy}.safetensors", copy + 1
        return self.directory / name

    def read_index(self) -> dict[str, CheckpointEntry]:
        """The entries of `last`, `best` and those after them, as far as there are any; UserError if it is damaged."""
        self.writer.wait()
        try:
            return parse_index(self.index_path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"{self.index_path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.index_path} is damaged: {error}") from error

    def path_of(self, role: Role) -> Path | None:
        """The file of the last or the best checkpoint; None if there is none yet."""
        entry = self.read_index().get(role)
        return None if entry is None else self.directory / entry["file"]

    def is_empty(self) -> bool:
        """Whether there has been no checkpoint yet."""
        index, problem = self._read_lost_index()
        return not index and (problem is None or not (self.index_path.exists() or self._files()))

    def _read_lost_index(self) -> tuple[dict[str, CheckpointEntry], str | None]:
        """The index, and what is wrong with it."""
        try:
            index = self.read_index()
        except UserError as error:
            return {}, str(error)
        return index, None if self.index_path.exists() else f"{self.index_path} is missing"

    def newest_valid(self) -> Found:
        """The newest checkpoint that is what was saved: by size, SHA-256, and a complete header.

        Where the index is lost, the newest whole file.

        Raises:
            UserError: there is none; it says what is wrong with each.
        """
        candidates, rejected = self._candidates()
        for path, entry in candidates:
            try:
                if entry is not None:
                    _check_content(path, entry)
                check_whole(path)
                if entry is None:
                    check_shards(path)
            except UserError as error:
                rejected.append(str(error))
                continue
            return Found(path, entry, rejected)
        raise UserError("; ".join([f"{self.directory} has no checkpoint that can be used", *rejected]))

    def _candidates(self) -> tuple[list[tuple[Path, CheckpointEntry | None]], list[str]]:
        """What there is, newest first, and what is wrong with the index, if it is."""
        index, problem = self._read_lost_index()
        if problem is not None:
            line = f"{problem}: the newest whole file is taken, unverified, and which was best is no longer known"
            return [(path, None) for path in self._files()], [line]
        entries = {entry["file"]: entry for role in ("last", "best") for entry in ranked(index, role)}
        newest_first = sorted(entries.values(), key=lambda entry: -entry["step"])
        return [(self.directory / entry["file"], entry) for entry in newest_first], []

    def _files(self) -> list[Path]:
        """The files that are named as checkpoints are, newest first."""
        found = [(match, path) for path in self.directory.glob("step_*") if (match := FILE_NAME.fullmatch(path.name))]
        found.sort(key=lambda item: (int(item[0][1]), int(item[0][2] or 1)), reverse=True)
        return [path for _, path in found]

    def sweep(self) -> list[Path]:
        """Delete what killed writes left in the run directory, and return it; call it under the run's lock only.

        That is files under a temporary name, and checkpoints that the index does not name. An index that is lost is
        made anew from the whole files.
        """
        index, problem = self._read_lost_index()
        run = self.directory.parent
        folders = [run, self.directory, run / ARTIFACTS, run / "predictions"]
        removed = [path for folder in folders for path in remove_temporaries(folder)]
        if problem is not None:
            self._index_anew()
            return removed
        named = {entry["file"] for entry in index.values()}
        orphans = [path for path in self._files() if path.name not in named]
        for path in orphans:
            remove_file(path)
        return removed + orphans + remove_unnamed(self.directory, (self.directory / file for file in named))

    def drop_damaged(self) -> list[str]:
        """Delete the checkpoints that are not what was saved, from the index first; what is wrong with each."""
        index = self.read_index()
        wrong: dict[str, str] = {}
        for entry in index.values():
            try:
                _check_content(self.directory / entry["file"], entry)
            except UserError as error:
                wrong[entry["file"]] = str(error)
        if wrong:
            whole = {name: entry for name, entry in index.items() if entry["file"] not in wrong}
            self._write_index(
                numbered("last", ranked(whole, "last")) | numbered("best", ranked(whole, "best")),
            )
        for file in wrong:
            remove_file(self.directory / file)
        kept = {entry["file"] for entry in index.values()} - wrong.keys()
        remove_unnamed(self.directory, (self.directory / file for file in kept))
        return list(wrong.values())

    def _index_anew(self) -> None:
        entries: list[CheckpointEntry] = []
        for path in self._files():
            with contextlib.suppress(UserError):
                check_whole(path)
                check_shards(path)
                match = FILE_NAME.fullmatch(path.name)
                assert match is not None
                entries.append(_entry(path, file_sha256(path), None, int(match[1]), {}))
        if entries:
            self._write_index(numbered("last", entries))

    def verify(self, path: Path) -> None:
        """Raise a UserError unless `path` is, byte for byte, the checkpoint that the index names."""
        entry = next((entry for entry in self.read_index().values() if entry["file"] == path.name), None)
        if entry is None:
            raise UserError(f"{path}: {self.index_path.name} does not name this checkpoint")
        _check_content(path, entry)


def _entry(path: Path, digest: str, epoch: int | None, step: int, metrics: Mapping[str, float]) -> CheckpointEntry:
    with disk_errors(path):
        size = path.stat().st_size
    return {
        "file": path.name,
        "size": size,
        "sha256": digest,
        "epoch": epoch,
        "step": step,
        "metrics": dict(metrics),
    }


def _check_content(path: Path, entry: CheckpointEntry) -> None:
    """Raise a UserError unless the checkpoint, with its shards, is what was saved."""
    check_file(path, entry["size"], entry["sha256"])
    check_shards(path)


def resolve_checkpoint(path: Path) -> Path:
    """The weights that `path` means: the file itself, or of a run directory its model.safetensors, else its best
    checkpoint, else its last; UserError if there are none."""
    path = path.expanduser()
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint or run directory")
    model = path / "model.safetensors"
    if model.is_file():
        return model
    store = CheckpointStore(path / "checkpoints")
    checkpoint = store.path_of("best") or store.path_of("last")
    if checkpoint is None:
        raise UserError(f"{path}: neither model.safetensors nor a checkpoint in this directory")
    store.verify(checkpoint)
    return checkpoint
