"""The files of a checkpoint that several ranks have written, each its part: a folder beside the checkpoint's own file.

The checkpoint names them, with size and SHA-256, in the metadata of its safetensors header, under `shards`:

    {"folder": "step_00000012.shards", "files": {"shard-00001-model-00001-of-00001.safetensors": [size, sha256], ...}}

So the index, which vouches for that file, vouches for them.
"""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from labwright.args.errors import UserError

from ..durable import disk_errors, file_sha256, sync_directory
from .damage import check_file

_FOLDER = re.compile(r"step_[0-9]{8,}(_[1-9][0-9]*)?\.shards", re.ASCII)
_FILE = re.compile(r"[\w-]+\.safetensors", re.ASCII)


class Shards(NamedTuple):
    """What a checkpoint says of the files of its ranks."""

    folder: str
    files: dict[str, tuple[int, str]]
    """Size and SHA-256 by name."""

    def to_json(self) -> str:
        return json.dumps(self._asdict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Shards":
        """What `to_json` gave; a ValueError if it is anything else."""
        found = json.loads(text)
        try:
            shards = cls(
                found["folder"], {name: (int(size), str(digest)) for name, (size, digest) in found["files"].items()}
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("what it says of its shards cannot be read") from error
        if not _FOLDER.fullmatch(shards.folder) or not all(_FILE.fullmatch(name) for name in shards.files):
            raise ValueError("its shards have names that no checkpoint gives")
        return shards


def new_folder(directory: Path, step: int) -> Path:
    """Where the shards of a checkpoint may be written: nothing is there yet."""
    name, copy = f"step_{step:08d}.shards", 2
    while (directory / name).exists():
        name, copy = f"step_{step:08d}_{copy}.shards", copy + 1
    return directory / name


def described(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file in the folder, whose names are durable from now on."""
    with disk_errors(folder):
        files = {path.name: (path.stat().st_size, file_sha256(path)) for path in sorted(folder.iterdir())}
        sync_directory(folder)
        sync_directory(folder.parent)
    return files


def shards_of(checkpoint: Path) -> Shards | None:
    """What the header of a checkpoint says of its shards; None: nothing. A ValueError if that is damaged."""
    with checkpoint.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        content = file.read(min(size, checkpoint.stat().st_size))
    try:
        text = json.loads(content)["__metadata__"]["shards"]
    except (ValueError, LookupError, TypeError):
        return None
    return Shards.from_json(text)


def check_shards(checkpoint: Path) -> None:
    """Raise a UserError unless the shards that a whole checkpoint names are there, byte for byte."""
    try:
        shards = shards_of(checkpoint)
    except ValueError as error:
        raise UserError(f"{checkpoint} is damaged: {error}") from error
    if shards is None:
        return
    folder = checkpoint.parent / shards.folder
    for name, (size, digest) in shards.files.items():
        check_file(folder / name, size, digest)


def remove_unnamed(directory: Path, checkpoints: Iterable[Path]) -> list[Path]:
    """Delete the folders of shards that none of the checkpoints names, and return them."""
    found = [path for path in directory.glob("step_*.shards") if _FOLDER.fullmatch(path.name) and path.is_dir()]
    if not found:
        return []
    named: set[str] = set()
    for checkpoint in checkpoints:
        try:
            shards = shards_of(checkpoint)
        except (OSError, ValueError):
            continue
        if shards is not None:
            named.add(shards.folder)
    removed = sorted(path for path in found if path.name not in named)
    for path in removed:
        with disk_errors(path):
            shutil.rmtree(path)
    return removed
