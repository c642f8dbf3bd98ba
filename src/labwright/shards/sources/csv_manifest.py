"""CSV manifests: a row for each sample, its cells paths of files, classes, texts or documents. No torch."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from labwright.args.reading import csv_rows
from labwright.args.wording import listed, quoted

from ..codecs import codec, codec_name
from ..codecs.formats import IMAGE_FORMATS
from ..errors import ShardError
from ..names import check_field, check_key, check_split
from .base import Samples, Source, Unreadable, class_metadata, fields_of_columns, sorted_classes
from .columns import Column, FileColumn, Table, ValueColumn
from .content import IMAGE_SUFFIXES, Check, Content

KEY, SPLIT = "key", "split"
"""Columns that say what a sample is called and which split it is in."""
_VALUES = ("cls", "txt", "json")
"""Codecs of cells that say the value itself; all others name a file."""


@dataclass(frozen=True)
class _Row:
    """A row and the line that it ends on."""

    cells: dict[str, str]
    line: int

    @property
    def split(self) -> str:
        return self.cells.get(SPLIT, "train")


def csv_source(
    path: Path,
    fields: Mapping[str, str] | None = None,
    *,
    check: Check = "decode",
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> Source:
    """The rows of a CSV file (UTF-8, with a header) as samples.

    `fields` names the column of each field; without it the columns named as fields are (`jpg`, `mask.png`, `cls`)
    become them. What a cell means depends on the field's codec: `cls` a class by its name or number, `txt` the text
    itself, `json` a document, all others the path of an encoded file, relative to the CSV file and never out of its
    folder. The columns `key` and `split`, where they are, name sample and split; without `key` a sample is called
    like its first file. `class_names` are those that a dataset has already, by field, where rows are added to it.
    """
    header, rows = _read(path)
    names = [name for name in header if name not in (KEY, SPLIT)]
    chosen = _guessed(path, names, rows[0]) if fields is None else fields_of_columns(fields, names, str(path))
    for name in chosen:
        check_field(name)
    codecs = {name: codec(codec_name(name)).names[0] for name in chosen}
    unreadable: list[Unreadable] = []
    kept = _kept_rows(path, rows, chosen, codecs, unreadable)
    cells_of = {name: [row.cells[column] for row, _ in kept] for name, column in chosen.items()}
    names_of = {
        name: _class_names(path, column, cells_of[name], (class_names or {}).get(name))
        for name, column in chosen.items()
        if codecs[name] == "cls"
    }
    values = {name: _values(cells_of[name], codecs[name], names_of.get(name)) for name in chosen}
    splits: dict[str, Samples] = {}
    positions_of: dict[str, list[int]] = {}
    for place, (row, _) in enumerate(kept):
        positions_of.setdefault(row.split, []).append(place)
    for split, positions in positions_of.items():
        columns: dict[str, Column] = {}
        for name in chosen:
            cells = [values[name][place] for place in positions]
            is_value = codecs[name] in _VALUES
            content = Content(codecs[name], check, converts=fields is not None)
            columns[name] = ValueColumn(cells) if is_value else FileColumn(path.parent, cells, content)
        others = {each: [kept[place][0].cells[each] for place in positions] for each in names}
        splits[split] = Table([kept[place][1] for place in positions], columns, others)
    named = {name: list(names) for name, names in names_of.items() if names}
    unused = [name for name in names if name not in chosen.values()]
    notes = (f"columns that are not packed: {listed(unused)}",) if unused else ()
    return Source(codecs, splits, class_metadata(named), tuple(unreadable), notes)


def _read(path: Path) -> tuple[list[str], list[_Row]]:
    read = csv_rows(path, error_class=ShardError)
    header = next(read, None)
    rows = [_Row(dict(zip(header.cells, row.cells, strict=True)), row.line) for row in read] if header else []
    if header is None or not rows:
        raise ShardError(f"{path} has no rows below a header line")
    return header.cells, rows


def _guessed(path: Path, names: Sequence[str], first: _Row) -> dict[str, str]:
    """The columns that are named as a field of a known codec; a ShardError if another one names images."""
    found = {name: name for name in names if _is_field(name)}
    endings = {name: PurePosixPath(first.cells[name]).suffix.lower() for name in names if name not in found}
    images = {IMAGE_SUFFIXES[ending]: name for name, ending in endings.items() if ending in IMAGE_SUFFIXES}
    if not found or images:
        example = [f"{field}={name}" for field, name in images.items()]
        example += found or [f"cls={name}" for name in names if name not in images.values()][:1]
        raise ShardError(
            f"{path}: no field is called like {listed(images.values() or names)}; say which column is which field: "
            f"--fields={','.join(example)}"
        )
    return found


def _is_field(name: str) -> bool:
    """Whether a column is called like a field; `id` and `index` are names of codecs too, but mean something else."""
    ending = codec_name(name)
    return ending in IMAGE_FORMATS or (ending not in ("bytes", "pkl") and ending == codec(ending).names[0])


def _kept_rows(
    path: Path,
    rows: Sequence[_Row],
    chosen: Mapping[str, str],
    codecs: Mapping[str, str],
    unreadable: list[Unreadable],
) -> list[tuple[_Row, str]]:
    """The rows whose cells can be packed, with their keys."""
    file_columns = [column for name, column in chosen.items() if codecs[name] not in _VALUES]
    line_of_key: dict[tuple[str, str], int] = {}
    kept: list[tuple[_Row, str]] = []
    base = Path(os.path.realpath(path.parent))
    for number, row in enumerate(rows):
        try:
            for column in chosen.values():
                if not row.cells[column]:
                    raise Unreadable(f"{path}, line {row.line}, column {column!r} is empty")
            for column in file_columns:
                _require_inside(path, row, column, base)
            for name, column in chosen.items():
                if codecs[name] == "json":
                    json.loads(row.cells[column])
            key = _key(row, file_columns, number)
            check_key(key)
            check_split(row.split)
            place = (row.split, key)
            if place in line_of_key:
                raise Unreadable(
                    f"{path}, line {row.line} has the key {key!r}, as line {line_of_key[place]} has; "
                    "give each a key of its own in a column named key"
                )
        except Unreadable as error:
            unreadable.append(error)
            continue
        except (ValueError, RecursionError) as error:  # a bad key, or no JSON
            unreadable.append(Unreadable(f"{path}, line {row.line}: {error}"))
            continue
        line_of_key[place] = row.line
        kept.append((row, key))
    if not kept:
        raise ShardError(f"no row of {path} can be packed; {unreadable[0]}")
    return kept


def _require_inside(path: Path, row: _Row, column: str, base: Path) -> None:
    """Only files in the manifest's own folder: a manifest from somewhere else names no file of this machine."""
    cell = row.cells[column]
    real = os.path.realpath(base / cell) if "\0" not in cell else ""
    if os.path.isabs(cell) or os.path.commonpath([base, real or os.sep]) != str(base):
        raise Unreadable(f"{path}, line {row.line}, column {column!r}: {quoted(cell)} is not in the folder of the file")


def _key(row: _Row, file_columns: Sequence[str], number: int) -> str:
    if KEY in row.cells:
        return row.cells[KEY]
    if not file_columns:
        return f"{number:08d}"
    name = PurePosixPath(row.cells[file_columns[0]])
    return str(name.with_name(name.name.rpartition(".")[0].replace(".", "_") or name.name))


def _values(cells: list[str], codec: str, names: Sequence[str] | None) -> list[Any]:
    """What the codec takes, or the name of the file."""
    if codec == "cls":
        place = {name: number for number, name in enumerate(names or ())}
        return [place[cell] if names else int(cell) for cell in cells]
    return [cell.encode() for cell in cells] if codec == "json" else cells


def _class_names(path: Path, column: str, cells: Sequence[str], known: Sequence[str] | None) -> Sequence[str] | None:
    """The classes of a column that has their names; None: it has their numbers."""
    distinct = {*cells}
    if known and distinct <= {*known}:
        return known
    if all(cell.isascii() and cell.isdecimal() and len(cell) < 19 for cell in distinct):
        return None
    if known:
        raise ShardError(
            f"{path}, column {column!r}: {listed(sorted(distinct - {*known}), most=5)} is no class of the dataset; "
            f"known: {listed(known)}"
        )
    return sorted_classes(distinct)
