"""Reads a CSV file into a `Table`, or says in one line what is wrong with it, and where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from labwright.args import UserError
from labwright.args.reading import csv_rows
from labwright.args.wording import listed, nearest

from .args import ColumnType, CsvDataArgs
from .splits import Splits, fingerprint
from .table import Table, build_table, input_scaling
from .tensor import InputDataset

_MAX_GUESSED_CATEGORIES = 100


@dataclass(frozen=True)
class _CsvFile:
    """The cells of a file by column, and the line of the file that each row ends on."""

    path: Path
    cells: dict[str, list[str]]
    lines: list[int]


@dataclass(frozen=True)
class _Column:
    """An input column as a number, or as one number for each of its categories."""

    name: str
    categories: tuple[str, ...] | None

    def encoded(self, file: _CsvFile) -> np.ndarray:
        if self.categories is None:
            return _numbers(self.name, file).reshape(-1, 1)
        return np.eye(len(self.categories), dtype=np.float64)[_positions(self.name, self.categories, file)]


def build_csv(args: CsvDataArgs) -> Splits:
    """The file as splits. Categories are those of the whole file, so none is new in the test set."""
    table, _ = _read_table(args)
    return build_table(table, args)


def open_csv_inputs(args: CsvDataArgs, path: Path, splits: Splits) -> InputDataset:
    """The rows of another file, made numbers and standardized exactly as the training rows were.

    Its columns may be in any order; the target and columns that were not inputs are not read.
    """
    table, columns = _read_table(args)
    if table.fingerprint != splits.fingerprint:
        raise UserError(f"{args.path} has changed since it was read; predict with the rows that were trained on")
    file = _read(path.expanduser(), args.delimiter)
    for column in columns:
        _require_column(column.name, file)
    inputs = np.concatenate([column.encoded(file) for column in columns], axis=1)
    return InputDataset(torch.from_numpy(input_scaling(table, args).applied_to(inputs)).float(), source=path.name)


def _read_table(args: CsvDataArgs) -> tuple[Table, list[_Column]]:
    """What the file holds, and how its input columns became numbers."""
    file = _read(args.path.expanduser(), args.delimiter)
    for name in (args.target, *args.columns, *([args.group] if args.group else [])):
        _require_column(name, file)
    if args.task == "classification":
        targets, class_names = _classes(args.target, file)
    else:
        targets, class_names = _numbers(args.target, file).reshape(-1, 1), ()
    columns = _input_columns(args, file)
    blocks = [column.encoded(file) for column in columns]
    table = Table(
        name=file.path.name,
        inputs=np.concatenate(blocks, axis=1),
        is_number=np.repeat([column.categories is None for column in columns], [block.shape[1] for block in blocks]),
        targets=targets,
        task=args.task,
        fingerprint=fingerprint(file.path.read_bytes()),
        class_names=class_names,
        groups=_groups(args, file),
    )
    return table, columns


def _groups(args: CsvDataArgs, file: _CsvFile) -> np.ndarray | None:
    if args.group is None:
        return None
    if args.group == args.target:
        raise UserError(f"group and target are both {args.group!r}: each class would be on one side of the split only")
    return np.array(_filled(args.group, file))


def _read(path: Path, delimiter: str) -> _CsvFile:
    """The file, checked to be a table. Empty lines are skipped."""
    read = csv_rows(path, delimiter=delimiter)
    header = next(read, None)
    if header is None:
        raise UserError(f"{path} is empty")
    rows = list(read)
    if not rows:
        raise UserError(f"{path} has a header line but no rows")
    cells = {name: [row.cells[position] for row in rows] for position, name in enumerate(header.cells)}
    return _CsvFile(path, cells, [row.line for row in rows])


def _require_column(name: str, file: _CsvFile) -> None:
    if name not in file.cells:
        near = nearest(name, list(file.cells))
        hint = f"did you mean {near!r}?" if near else f"it has {listed(map(repr, file.cells))}"
        raise UserError(f"{file.path} has no column {name!r}; {hint}")


def _input_columns(args: CsvDataArgs, file: _CsvFile) -> list[_Column]:
    """The columns that are neither the target nor left out; the group column takes part only if its type is said."""
    columns: list[_Column] = []
    for name in file.cells:
        given = "ignore" if name == args.target else args.columns.get(name)
        column_type = given or ("ignore" if name == args.group else _guess(name, file))
        if column_type == "number":
            columns.append(_Column(name, None))
        elif column_type == "category":
            columns.append(_Column(name, tuple(sorted(set(_filled(name, file))))))
    if not columns:
        raise UserError(f"{file.path} has no input columns beside the target {args.target!r}")
    return columns


def _guess(name: str, file: _CsvFile) -> ColumnType:
    """A number if most cells are: then the others are mistakes, which `_numbers` names."""
    values = file.cells[name]
    if 2 * sum(_number(value) is not None for value in values) >= len(values):
        return "number"
    num_categories = len(set(values))
    if num_categories > _MAX_GUESSED_CATEGORIES:
        raise UserError(
            f"{file.path}: column {name!r} has {num_categories:,} different texts; "
            f"say what it is with --dataset.columns.{name}=ignore (or category)"
        )
    return "category"


def _numbers(name: str, file: _CsvFile) -> np.ndarray:
    numbers = np.empty(len(file.lines), dtype=np.float64)
    for position, (value, line) in enumerate(zip(file.cells[name], file.lines, strict=True)):
        number = _number(value)
        if number is None:
            _require_cell(name, value, file.path, line)
            hint = f"; if it is no number column, say --dataset.columns.{name}=category"
            raise UserError(f"{file.path}, line {line}, column {name!r}: {value!r} is not a finite number{hint}")
        numbers[position] = number
    return numbers


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _positions(name: str, known: Sequence[str], file: _CsvFile) -> np.ndarray:
    """The place of each cell among the texts known for its column."""
    place = {text: index for index, text in enumerate(known)}
    for value, line in zip(_filled(name, file), file.lines, strict=True):
        if value not in place:
            raise UserError(
                f"{file.path}, line {line}, column {name!r}: {value!r} is not among the training rows; "
                f"known: {listed(map(repr, known))}"
            )
    return np.array([place[value] for value in file.cells[name]], dtype=np.int64)


def _classes(name: str, file: _CsvFile) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class of each row, and the class names: sorted, as numbers where all are."""
    values = _filled(name, file)
    distinct = set(values)
    are_numbers = all(_number(value) is not None for value in distinct)
    names = sorted(distinct, key=lambda text: (float(text), text) if are_numbers else (0.0, text))
    if len(names) < 2:
        raise UserError(f"{file.path}: the target {name!r} has one class only, {names[0]!r}")
    if are_numbers and len(names) > max(_MAX_GUESSED_CATEGORIES, len(values) // 2):
        raise UserError(
            f"{file.path}: the target {name!r} has {len(names):,} different numbers; did you mean task=regression?"
        )
    return _positions(name, names, file), tuple(names)


def _filled(name: str, file: _CsvFile) -> list[str]:
    """The cells of a column, none of which is empty."""
    for value, line in zip(file.cells[name], file.lines, strict=True):
        _require_cell(name, value, file.path, line)
    return file.cells[name]


def _require_cell(name: str, value: str, path: Path, line: int) -> None:
    if not value:
        raise UserError(f"{path}, line {line}, column {name!r} is empty; fill it, or leave the row or column out")
