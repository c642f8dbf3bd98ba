"""Folders of classes: `root/cat/1.png`, or `root/train/cat/1.png` with a folder for each split. No torch."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from labwright.args.wording import listed

from ..errors import ShardError
from ..names import check_key
from .base import SPLIT_NAMES, Samples, Source, Unreadable, fields_of_columns, sorted_classes
from .columns import Column, FileColumn, Table, ValueColumn
from .content import IMAGE_SUFFIXES, Check, Content

COLUMNS = ("image", "class")


@dataclass
class _Split:
    keys: list[str] = field(default_factory=list[str])
    names: list[str] = field(default_factory=list[str])
    classes: list[str] = field(default_factory=list[str])


def folder_source(
    root: Path,
    fields: Mapping[str, str] | None = None,
    *,
    check: Check = "decode",
    class_names: Sequence[str] | None = None,
) -> Source:
    """The images in folders of classes.

    A field of the images' format and `cls`, the place of the folder's name among all (sorted, as numbers where all
    are), which the metadata keep as `class_names`. A sample's key is its path below the split without the suffix.
    `fields` names the columns "image" and "class" of other fields; images of another format are encoded anew then.
    `class_names` are those that a dataset has already, where images are added to it.
    """
    unreadable: list[Unreadable] = []
    found = {name: _read_split(folder, root, unreadable) for name, folder in _split_folders(root, unreadable)}
    if not any(split.keys for split in found.values()):
        hint = f"; {unreadable[0]}" if unreadable else ""
        raise ShardError(f"{root} has no folders of images, such as {root.name}/cat/1.png{hint}")
    chosen = _fields(root, found) if fields is None else fields_of_columns(fields, COLUMNS, "a folder of classes")
    there = sorted_classes({name for split in found.values() for name in split.classes})
    if class_names is not None and (new := [name for name in there if name not in class_names]):
        raise ShardError(f"{listed(new, most=5)} in {root} is no class of the dataset; known: {listed(class_names)}")
    class_names = there if class_names is None else list(class_names)
    place = {name: number for number, name in enumerate(class_names)}
    codecs = {name: name.rpartition(".")[2] for name in chosen}
    splits: dict[str, Samples] = {}
    for name, split in found.items():
        columns: dict[str, Column] = {
            each: FileColumn(root, split.names, Content(codecs[each], check, converts=fields is not None))
            if column == "image"
            else ValueColumn(split.classes if codecs[each] == "txt" else [place[label] for label in split.classes])
            for each, column in chosen.items()
        }
        splits[name] = Table(split.keys, columns, {"class": split.classes})
    return Source(codecs, splits, {"class_names": class_names}, tuple(unreadable))


def _fields(root: Path, found: Mapping[str, _Split]) -> dict[str, str]:
    """The one format that the images have."""
    formats = Counter(
        IMAGE_SUFFIXES[PurePosixPath(name).suffix.lower()] for split in found.values() for name in split.names
    )
    if len(formats) > 1:
        counts = " and ".join(f"{count:,} {name}" for name, count in sorted(formats.items()))
        raise ShardError(
            f"{root} has {counts} images, and a field has one format; encode the others anew with "
            f"--fields={'png' if 'png' in formats else min(formats)}=image,cls=class"
        )
    return {next(iter(formats)): "image", "cls": "class"}


def _split_folders(root: Path, unreadable: list[Unreadable]) -> Iterator[tuple[str, Path]]:
    """Each split and its folder: `root` itself, as train, unless it has folders of splits."""
    folders = [path for path in _entries(root) if path.is_dir() and not path.name.startswith(".")]
    named = [path for path in folders if path.name in SPLIT_NAMES]
    others = [path for path in folders if path.name not in SPLIT_NAMES]
    are_splits = [any(each.is_dir() for each in _entries(path)) for path in named]
    if not named or (others and not any(are_splits)):
        yield "train", root
        return
    if others:
        raise ShardError(
            f"{root} has folders of splits ({listed(path.name for path in named)}) and others "
            f"({listed((path.name for path in others), most=5)}) beside them; name them all after splits, or pack one"
        )
    unreadable.extend(_no_place(path) for path in _entries(root) if path not in named)
    for path in named:
        yield path.name, path


def _read_split(folder: Path, root: Path, unreadable: list[Unreadable]) -> _Split:
    split = _Split()
    file_of_key: dict[str, str] = {}
    for class_folder in _entries(folder):
        if class_folder.name.startswith(".") or not class_folder.is_dir():
            unreadable.append(_no_place(class_folder))
            continue
        num_before = len(split.keys)
        for path in _files(class_folder, unreadable):
            relative = path.relative_to(folder)
            key = str(PurePosixPath(*relative.parts[:-1], path.stem.replace(".", "_")))
            name = str(path.relative_to(root))
            try:
                check_key(key)
                if key in file_of_key:
                    raise Unreadable(f"{path} would have the key {key!r}, as {root / file_of_key[key]} has")
            except ShardError as error:
                unreadable.append(error if isinstance(error, Unreadable) else Unreadable(f"{path}: {error}"))
                continue
            file_of_key[key] = name
            split.keys.append(key)
            split.names.append(name)
            split.classes.append(class_folder.name)
        if len(split.keys) == num_before and not any(_entries(class_folder)):
            unreadable.append(Unreadable(f"{class_folder} is empty: it is a class without images"))
    return split


def _files(folder: Path, unreadable: list[Unreadable], above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The images in `folder` and the folders in it; links are followed, but not in circles."""
    real = os.path.realpath(folder)
    if real in above:
        unreadable.append(Unreadable(f"{folder} is a link to a folder that it lies in"))
        return
    for path in _entries(folder):
        if path.name.startswith("."):
            unreadable.append(Unreadable(f"{path} is hidden"))
        elif path.is_dir():
            yield from _files(path, unreadable, above | {real})
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            unreadable.append(Unreadable(f"{path} is no image that is known by its ending"))
        else:
            yield path


def _no_place(path: Path) -> Unreadable:
    return Unreadable(f"{path} is hidden" if path.name.startswith(".") else f"{path} lies in no class folder")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ShardError(f"cannot read {folder}: {error.strerror or error}") from error
