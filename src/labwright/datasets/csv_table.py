"""Reads a CSV file into a `Table`, or says in one line what is wrong with it, and where."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labwright.args import UserError
from labwright.args.wording import listed, nearest

from .args import ColumnType, CsvDataArgs
from .splits import Splits, fingerprint
from .table import Table, build_table

_MAX_GUESSED_CATEGORIES = 100


def build_csv(args: CsvDataArgs) -> Splits:
    """The file as splits. Categories are those of the whole file, so none is new in the test set."""
    path = args.path.expanduser()
    header, rows, lines = _read(path, args.delimiter)
    for name in (args.target, *args.columns):
        _require_column(name, header, path)
    cells = {name: [row[position] for row in rows] for position, name in enumerate(header)}
    if args.task == "classification":
        targets, class_names = _classes(args.target, cells[args.target], path, lines)
    else:
        targets, class_names = _numbers(args.target, cells[args.target], path, lines).reshape(-1, 1), ()
    features, is_number = _features(args, cells, path, lines)
    table = Table(
        name=path.name,
        inputs=features,
        is_number=is_number,
        targets=targets,
        task=args.task,
        fingerprint=fingerprint(path.read_bytes()),
        class_names=class_names,
    )
    return build_table(table, args)


def _read(path: Path, delimiter: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows, and the line of the file that each row ends on. Empty lines are skipped."""
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    rows.append([cell.strip() for cell in row])
                    lines.append(reader.line_num)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise UserError(f"{path} is not CSV: {error} after line {lines[-1] if lines else 0}") from error
    if not rows:
        raise UserError(f"{path} is empty")
    header, rows, lines = rows[0], rows[1:], lines[1:]
    if not rows:
        raise UserError(f"{path} has a header line but no rows")
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise UserError(f"{path} has several columns named {doubled[0]!r}")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise UserError(f"{path}, line {line}: {len(row)} cells, but the header has {len(header)}")
    return header, rows, lines


def _require_column(name: str, header: Sequence[str], path: Path) -> None:
    if name not in header:
        near = nearest(name, header)
        hint = f"did you mean {near!r}?" if near else f"it has {listed(map(repr, header))}"
        raise UserError(f"{path} has no column {name!r}; {hint}")


def _features(
    args: CsvDataArgs, cells: dict[str, list[str]], path: Path, lines: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The input columns side by side, and which of them are numbers."""
    blocks: list[np.ndarray] = []
    is_number: list[bool] = []
    for name, values in cells.items():
        column_type = "ignore" if name == args.target else args.columns.get(name) or _guess(name, values, path)
        if column_type == "ignore":
            continue
        block = _numbers(name, values, path, lines) if column_type == "number" else _one_hot(name, values, path, lines)
        blocks.append(block.reshape(len(values), -1))
        is_number += [column_type == "number"] * blocks[-1].shape[1]
    if not blocks:
        raise UserError(f"{path} has no input columns beside the target {args.target!r}")
    return np.concatenate(blocks, axis=1), np.array(is_number)


def _guess(name: str, values: list[str], path: Path) -> ColumnType:
    """A number if most cells are: then the others are mistakes, which `_numbers` names."""
    if 2 * sum(_number(value) is not None for value in values) >= len(values):
        return "number"
    num_categories = len(set(values))
    if num_categories > _MAX_GUESSED_CATEGORIES:
        raise UserError(
            f"{path}: column {name!r} has {num_categories:,} different texts; "
            f"say what it is with --dataset.columns.{name}=ignore (or category)"
        )
    return "category"


def _numbers(name: str, values: list[str], path: Path, lines: list[int]) -> np.ndarray:
    numbers = np.empty(len(values), dtype=np.float64)
    for position, value in enumerate(values):
        number = _number(value)
        if number is None:
            _require_cell(name, value, path, lines[position])
            hint = f"; if it is no number column, say --dataset.columns.{name}=category"
            raise UserError(f"{path}, line {lines[position]}, column {name!r}: {value!r} is not a finite number{hint}")
        numbers[position] = number
    return numbers


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _one_hot(name: str, values: list[str], path: Path, lines: list[int]) -> np.ndarray:
    _require_cells(name, values, path, lines)
    categories, positions = np.unique(values, return_inverse=True)
    return np.eye(len(categories), dtype=np.float64)[positions]


def _classes(name: str, values: list[str], path: Path, lines: list[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class of each row, and the class names: sorted, as numbers where all are."""
    _require_cells(name, values, path, lines)
    distinct = set(values)
    are_numbers = all(_number(value) is not None for value in distinct)
    names = sorted(distinct, key=lambda text: (float(text), text) if are_numbers else (0.0, text))
    if len(names) < 2:
        raise UserError(f"{path}: the target {name!r} has one class only, {names[0]!r}")
    if are_numbers and len(names) > max(_MAX_GUESSED_CATEGORIES, len(values) // 2):
        raise UserError(
            f"{path}: the target {name!r} has {len(names):,} different numbers; did you mean task=regression?"
        )
    position = {text: index for index, text in enumerate(names)}
    return np.array([position[value] for value in values], dtype=np.int64), tuple(names)


def _require_cells(name: str, values: list[str], path: Path, lines: list[int]) -> None:
    for value, line in zip(values, lines, strict=True):
        _require_cell(name, value, path, line)


def _require_cell(name: str, value: str, path: Path, line: int) -> None:
    if not value:
        raise UserError(f"{path}, line {line}, column {name!r} is empty; fill it, or leave the row or column out")
