import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.args.errors import UserError
from labwright.runs.listing.expressions import Comparison, Expression, Joined, Not, Truth
from labwright.runs.listing.query import is_expression, parse, select

from .runs_to_filter import RUNS


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "filter: expected a name, such as val/accuracy, at its end"),
        ("val/loss >", 'filter: expected a value, such as 0.9, true or "mlp", at its end'),
        ("val/loss > > 1", 'filter: expected a value, such as 0.9, true or "mlp", at "> 1" (character 12)'),
        ("a == 1 b == 2", 'filter: expected `and` or `or`, at "b == 2" (character 8)'),
        ("(a == 1", "filter: expected ), at its end"),
        ("a == 'x", 'filter: a quote without its end, at "\'x" (character 6)'),
        ("a ! 1", 'filter: this is no part of a filter, at "! 1" (character 3)'),
        ("a > mlp", 'filter: > compares with a number, a date, or a text in quotes, at "mlp" (character 5)'),
        ("a < null", 'filter: < compares with a number, a date, or a text in quotes, at "null" (character 5)'),
        ("a in 3", 'filter: expected a list, such as [1, 2], at "3" (character 6)'),
        ("a in [1 2]", 'filter: expected ,, at "2]" (character 9)'),
        ("a not 3", 'filter: expected in, at "3" (character 7)'),
        ("a contains null", 'filter: nothing contains null; ask with == null, at "null" (character 12)'),
        ("and", 'filter: expected a name, such as val/accuracy, at "and" (character 1)'),
        ("(" * 60 + "a", 'filter: nested too deeply, at most 50 levels, at "((((((((((a" (character 51)'),
    ],
)
def test_mistake_is_said_in_one_line_with_its_place(text: str, error: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(error)}$"):
        parse(text)


def test_broken_regular_expression_is_refused() -> None:
    with pytest.raises(UserError, match=r"^filter: not a regular expression in quotes \(.*\), at "):
        parse("a =~ '('")


def test_filter_over_no_runs_finds_none() -> None:
    assert select([], "val/accuracy > 0.9") == []


@pytest.mark.parametrize(
    ("text", "expected"), [("ab12", False), ("last", False), ("best:val/loss", False), ("a>1", True), ("not a", True)]
)
def test_filter_is_told_from_the_name_of_a_run(text: str, expected: bool) -> None:
    assert is_expression(text) is expected


NAMES = st.from_regex(r"[A-Za-z_@][\w./@-]*", fullmatch=True).filter(
    lambda name: name.lower() not in ("and", "or", "not", "in", "contains")
)
SCALARS = st.one_of(
    st.text(), st.booleans(), st.integers(-(2**52), 2**52), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES: st.SearchStrategy[Any] = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
COMPARISONS = st.one_of(
    st.builds(Truth, NAMES),
    st.builds(Comparison, NAMES, st.sampled_from(["==", "!="]), st.one_of(VALUES, st.none())),
    st.builds(Comparison, NAMES, st.sampled_from(["<", "<=", ">", ">="]), st.floats(-1e300, 1e300) | st.text()),
    st.builds(Comparison, NAMES, st.sampled_from(["in", "not in"]), st.lists(VALUES, max_size=3)),
    st.builds(Comparison, NAMES, st.just("contains"), VALUES),
    st.builds(Comparison, NAMES, st.just("=~"), st.text().map(re.escape)),
)
EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
def test_expression_reads_back_from_its_text(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@given(st.one_of(st.text(), st.text(alphabet="ab1.<>=!~()[],'\" \\-+e/")))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        select(RUNS, text)
    except UserError as error:
        assert "\n" not in str(error)
