"""WebDataset: a directory of tar files, a tar file, or a pattern of tar files, read as they are. No torch."""

import glob
import os
import re
from pathlib import Path

from .errors import ShardError
from .listing import Listing, group_by_split
from .names import split_name
from .patterns import expand

_MAGIC = re.compile(r"[{*?\[]")


def is_pattern(path: Path) -> bool:
    """Whether a path stands for several: `data-{000000..000004}.tar`, `data-*.tar`."""
    return _MAGIC.search(str(path)) is not None


def webdataset_listing(path: Path) -> Listing | None:
    """The tar files at `path` and the splits that their names tell; None: there are none."""
    if path.is_dir():
        names = _tars_in(path)
        own = {each.name.split(".")[0] for each in path.glob("*.index.npy")}
        return Listing("webdataset", path, group_by_split(names, own), webdataset_name) if names else None
    if path.is_file():
        return Listing("webdataset", path.parent, group_by_split([path.name]), webdataset_name)
    files = [Path(name) for name in _matching(str(path))]
    directory = Path(os.path.commonpath([file.parent for file in files]))
    names = [file.relative_to(directory).as_posix() for file in files]
    return Listing("webdataset", directory, group_by_split(names), webdataset_name)


def webdataset_name(name: str) -> tuple[str, str] | None:
    """Key and field as WebDataset cuts them, the field in small letters; None: a name without either, or `__meta__`."""
    key, field = split_name(name)
    if not field or not key or key.endswith("/") or re.match(r"__[^/]*__(/|$)", name):
        return None
    return key, field.lower()


def _tars_in(directory: Path) -> list[str]:
    """The tar files in a directory; if there are none, those in its folders."""
    for pattern in ("*.tar", "*/*.tar"):
        found = [path for path in directory.glob(pattern) if not path.name.startswith(".") and path.is_file()]
        names = [path.relative_to(directory).as_posix() for path in found]
        if names := [name for name in names if not name.startswith(".")]:
            return names
    return []


def _matching(pattern: str) -> list[str]:
    found: list[str] = []
    for name in expand(pattern):
        files = sorted(glob.glob(name)) if re.search(r"[*?\[]", name) else [name] * os.path.isfile(name)
        if not files:
            raise ShardError(f"{pattern} has no file {name}" if name != pattern else f"no file matches {pattern}")
        found += files
    return found
