"""Rows come with the line they end on; what is wrong with a file is one line that names it."""

import re
from pathlib import Path

import pytest

from labwright.args import UserError
from labwright.args.reading import csv_rows, reading


class OfTheCaller(UserError):
    """Its own kind of error."""


def test_rows_are_stripped_and_know_the_line_they_end_on(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_bytes('\ufeff\n x ;y\n\n1;"a\nb"\n2; c\n'.encode())
    assert [*csv_rows(path, delimiter=";")] == [(["x", "y"], 2), (["1", "a\nb"], 5), (["2", "c"], 6)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b,a\n", "has several columns named 'a'"),
        (b"a,b\n1,2\n3\n", ", line 3: 1 cells, but the header has 2"),
        (b'a\n1\n"2\n', "is not CSV: unexpected end of data after line 2"),
        (b"a\n\xff\n", "is not UTF-8 text: invalid start byte at byte 2"),
    ],
)
def test_what_is_wrong_is_an_error_of_the_callers_kind(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "all.csv").write_bytes(content)
    with pytest.raises(OfTheCaller, match=re.escape(said)) as caught:
        [*csv_rows(tmp_path / "all.csv", error_class=OfTheCaller)]
    assert str(caught.value).startswith(str(tmp_path / "all.csv"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^cannot read {tmp_path}: Is a directory$"), reading(tmp_path):
        tmp_path.read_text()


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), reading(tmp_path):
        raise ZeroDivisionError
