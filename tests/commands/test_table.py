import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labwright.commands.sparkline import sparkline
from labwright.commands.table import csv_text, display_width, number_text, shortened_to, table_lines


def test_numbers_stand_to_the_right_and_empty_columns_are_left_out() -> None:
    lines = table_lines(["name", "none", "value"], [["a", "", "1.5"], ["bcd", "", "-10"], ["e", "", ""]])
    assert lines == ["name  value", "a       1.5", "bcd     -10", "e"]


def test_wide_characters_take_two_columns() -> None:
    assert table_lines(["run", "n"], [["数据", "1"], ["abc", "2"]]) == ["run   n", "数据  1", "abc   2"]
    assert display_width("e\u0301") == 1
    assert shortened_to("数据数据", 6) == "数据…"


def test_narrow_table_takes_from_text_then_from_the_last_columns() -> None:
    headers, rows = ["run", "number", "text", "more"], [["run-1", "0.123456", "x" * 30, "y" * 30]]
    assert table_lines(headers, rows, 60) == [
        "run      number  text                  more",
        "run-1  0.123456  xxxxxxxxxxxxxxxxxxx…  yyyyyyyyyyyyyyyyyyyy…",
    ]
    assert table_lines(headers, rows, 30)[1] == "run-1  0.123456  xxxxxxxxxxxx…"
    assert table_lines(headers, rows, 10)[1] == "run-1"
    assert table_lines(headers, rows, 3)[1] == "run-1"


@example([("", "", "0" * 11 + "\x1f" * 4 + "\U00011462" * 6)], 80)  # the first column that is left is not the first
@example([("", "", "0" * 81)], 80)
@given(st.lists(st.tuples(st.text(max_size=8), st.text(), st.text()), max_size=4), st.integers(80, 200))
def test_table_of_any_text_fits_and_has_a_line_a_row(rows: list[tuple[str, str, str]], width: int) -> None:
    """The first column, of eight characters that may be spelled as ten each, is never cut."""
    lines = table_lines(["a", "b", "c"], rows, width)
    assert len(lines) == (len(rows) + 1 if any(map(any, rows)) else 0)
    assert all(line.isprintable() and display_width(line) <= width for line in lines)


def test_csv_keeps_lists_and_what_is_missing() -> None:
    assert csv_text(["a", "b"], [[[1, "ü"], None], [True, 0.5]]) == 'a,b\n"[1, ""ü""]",\nTrue,0.5\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (0.0, "0.0000"), (1e-7, "1e-07"), (123456.7, "1.23e+05"), (3, "3"), (float("nan"), "nan")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        ([1.0], "▅"),
        ([1.0, 2.0, 3.0], "▁▅█"),
        ([3.0, float("nan"), 1.0], "█·▁"),
        ([float("inf")], "·"),
        ([float(number) for number in range(60)], "▁▁▁▁▂▂▂▂▃▃▃▃▄▄▄▅▅▅▅▅▆▆▆▆▇▇▇▇██"),
    ],
)
def test_sparkline_spans_all_heights(values: list[float], text: str) -> None:
    shown = sparkline(values)
    assert len(shown) == min(len(values), 30)
    if len(values) < 30:
        assert shown == text
    else:
        assert list(shown) == sorted(shown) and set(shown) == set(text)
