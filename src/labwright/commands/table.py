"""Tables as text and as CSV."""

import csv
import io
import json
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from labwright.args.wording import one_line

_GAP = "  "
_LONGEST_NUMBER = 32  # longer digits are text
_NARROWEST = 8  # what a column of text keeps of itself where the terminal is too narrow


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout: within the terminal's width if that is one, else whole."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print("\n".join(table_lines(headers, rows, width)))


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """The lines of a table: columns of numbers to the right, columns without any content left out.

    What is wider than `width` is taken from the widest columns of text but the first, and then from the last columns.
    """
    cells = [[cell if cell.isprintable() else one_line(cell, len(cell)) for cell in row] for row in rows]
    kept = [column for column in range(len(headers)) if any(row[column] for row in cells)]
    columns = [[headers[column], *(row[column] for row in cells)] for column in kept]
    numeric = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    widths = [max(map(display_width, column)) for column in columns]
    if width is not None:
        whole = [place for place, column in enumerate(kept) if column == 0 or numeric[place]]
        widths = _narrowed(widths, whole, width)
    return [
        _GAP.join(map(_padded, line, widths, numeric)).rstrip() for line in zip(*columns[: len(widths)], strict=True)
    ]


def csv_text(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The rows as CSV; lists and dicts as JSON, what is missing as nothing."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return file.getvalue()


def number_text(value: float) -> str:
    """A metric as people compare them: four decimals, or fewer digits where it is very small or very large."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def display_width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # it stands on the one before, or is invisible
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened_to(text: str, width: int) -> str:
    """`text`, its end replaced by … where it is wider than `width`."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _narrowed(widths: Sequence[int], fixed: Sequence[int], limit: int) -> list[int]:
    """The widths of as many columns as fit into `limit`."""
    least = [width if column in fixed else min(width, _NARROWEST) for column, width in enumerate(widths)]
    count = len(widths)
    while count > 1 and _total(least[:count]) > limit:
        count -= 1
    kept = list(widths[:count])
    while _total(kept) > limit:
        widest = max(range(count), key=lambda column: kept[column] - least[column])
        if kept[widest] == least[widest]:  # only a column that is never cut is left
            break
        kept[widest] -= 1
    return kept


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _padded(text: str, width: int, is_numeric: bool) -> str:
    if text.isascii() and len(text) <= width:
        return text.rjust(width) if is_numeric else text.ljust(width)
    text = shortened_to(text, width)
    space = " " * (width - display_width(text))
    return f"{space}{text}" if is_numeric else f"{text}{space}"


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return len(text) <= _LONGEST_NUMBER


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
