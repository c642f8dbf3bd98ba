"""Files that users give, read row by row; what is wrong with one is a line that names it."""

import csv
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .errors import UserError


@contextmanager
def reading(path: Path, error_class: type[UserError] = UserError) -> Generator[None]:
    """A block that reads `path`: an error of the system, or of the encoding, becomes one of `error_class`."""
    try:
        yield
    except OSError as error:
        raise error_class(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise error_class(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error


class CsvRow(NamedTuple):
    """The cells of a row, and the line of the file that it ends on."""

    cells: list[str]
    line: int


def csv_rows(path: Path, *, delimiter: str = ",", error_class: type[UserError] = UserError) -> Iterator[CsvRow]:
    """The header of a CSV file (UTF-8), then its rows, each as long as that: cells without the space around them.

    Empty lines are skipped. What is wrong is an error of `error_class`.
    """
    header: list[str] = []
    line = 0
    with reading(path, error_class), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for row in filter(None, reader):
                cells, line = [cell.strip() for cell in row], reader.line_num
                if not header:
                    header = cells
                    doubled = sorted({name for name in header if header.count(name) > 1})
                    if doubled:
                        raise error_class(f"{path} has several columns named {doubled[0]!r}")
                if len(cells) != len(header):
                    raise error_class(f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}")
                yield CsvRow(cells, line)
        except csv.Error as error:
            raise error_class(f"{path} is not CSV: {error} after line {line}") from error
