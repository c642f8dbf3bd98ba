"""checkpoints/: the newest and the best states of a run, and the index that names them."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, NotRequired, TypedDict, cast

from labwright.args.errors import UserError

from .durable import Payload, strict_json, write_durably

Role = Literal["last", "best"]
_NAME = re.compile(r"(last|best)(_[1-9][0-9]*)?")
"""`last` and `best` in the index; the next newest and next best are `last_2`, `best_2`, and so on."""


class CheckpointEntry(TypedDict):
    """What index.json says of one checkpoint."""

    file: str
    size: int
    sha256: str
    epoch: int
    step: int
    metrics: dict[str, float | None]
    score: NotRequired[float]
    """What it is ranked by among the best; lower is better."""


class CheckpointStore:
    """The checkpoints in `directory`: the `keep_last` newest, and the `keep_best` best.

    At each moment, also in the middle of `save`, index.json names files that are there, whole and durable.
    """

    def __init__(self, directory: Path, *, keep_last: int = 1, keep_best: int = 1) -> None:
        self.directory = directory
        self.keep_last = keep_last
        self.keep_best = keep_best

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

        `score`, lower is better, ranks it among the best few where it is not the best; NaN: it is none of them.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        previous = self.read_index()
        kept_files = {entry["file"] for entry in previous.values()}
        path = self._new_path(step, kept_files)
        digest = write_durably(path, data)
        entry: CheckpointEntry = {
            "file": path.name,
            "size": path.stat().st_size,
            "sha256": digest,
            "epoch": epoch,
            "step": step,
            "metrics": dict(metrics),
        }
        if math.isfinite(score):
            entry["score"] = score
        newest = [entry, *_ranked(previous, "last")][: self.keep_last]
        best = _with(entry, _ranked(previous, "best"), is_best)[: self.keep_best]
        index = _numbered("last", newest) | _numbered("best", best)
        write_durably(self.index_path, strict_json(index, indent=2) + b"\n")
        for file in kept_files - {entry["file"] for entry in index.values()}:
            (self.directory / file).unlink(missing_ok=True)
        return path

    def _new_path(self, step: int, kept_files: set[str]) -> Path:
        """A name that overwrites no file of the index: until the next index is written, that one must hold."""
        name, copy = f"step_{step:08d}.safetensors", 2
        while name in kept_files:
            name, copy = f"step_{step:08d}_{copy}.safetensors", copy + 1
        return self.directory / name

    def read_index(self) -> dict[str, CheckpointEntry]:
        """The entries of `last`, `best` and those after them, as far as there are any; UserError if it is damaged."""
        try:
            index = _checked_object(json.loads(self.index_path.read_bytes()))
            return {name: _checked_entry(entry) for name, entry in index.items() if _NAME.fullmatch(name)}
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.index_path} is damaged: {error}") from error

    def path_of(self, role: Role) -> Path | None:
        """The file of the last or the best checkpoint; None if there is none yet."""
        entry = self.read_index().get(role)
        return None if entry is None else self.directory / entry["file"]

    def verify(self, path: Path) -> None:
        """Raise a UserError unless `path` is, byte for byte, the checkpoint that the index names."""
        entry = next((entry for entry in self.read_index().values() if entry["file"] == path.name), None)
        if entry is None:
            raise UserError(f"{path}: {self.index_path.name} does not name this checkpoint")
        try:
            size = path.stat().st_size
            if size != entry["size"]:
                raise UserError(f"{path} is damaged: it has {size} bytes instead of {entry['size']}")
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        if digest != entry["sha256"]:
            raise UserError(f"{path} is damaged: its content differs from what was saved (SHA-256)")


def _ranked(index: Mapping[str, CheckpointEntry], role: Role) -> list[CheckpointEntry]:
    """The entries of a role, first to last."""
    names = [name for name in index if name.partition("_")[0] == role]
    return [index[name] for name in sorted(names, key=lambda name: int(name.partition("_")[2] or 1))]


def _numbered(role: Role, entries: list[CheckpointEntry]) -> dict[str, CheckpointEntry]:
    return {role if rank == 1 else f"{role}_{rank}": entry for rank, entry in enumerate(entries, start=1)}


def _with(entry: CheckpointEntry, best: list[CheckpointEntry], is_best: bool) -> list[CheckpointEntry]:
    """The best with `entry` in its place, behind those that are as good."""
    if is_best:
        return [entry, *best]
    if "score" not in entry:
        return best
    better = sum(other.get("score", -math.inf) <= entry["score"] for other in best)
    return [*best[:better], entry, *best[better:]]


def _checked_entry(value: object) -> CheckpointEntry:
    entry = _checked_object(value)
    missing = CheckpointEntry.__required_keys__ - entry.keys()
    if missing:
        raise ValueError(f"an entry lacks {', '.join(sorted(missing))}")
    file = entry["file"]
    if not isinstance(file, str) or file in ("", "..") or PurePath(file).name != file:
        raise ValueError(f"{file!r} is not a file name")
    return cast(CheckpointEntry, cast(object, entry))


def _checked_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return cast(dict[str, Any], value)


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
