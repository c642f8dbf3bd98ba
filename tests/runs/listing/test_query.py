import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.args.errors import UserError
from labwright.runs.listing.query import Comparison, Expression, Joined, Not, Truth, is_expression, parse, select
from labwright.runs.listing.summary import RunSummary

RUNS = [
    RunSummary(
        Path("results/digits/2026-01-31_12-00-00_aaaa"),
        "finished",
        experiment_id="digits",
        started_at="2026-01-31T12:00:00+00:00",
        tags=["baseline", "paper"],
        args={"seed": 0, "model.kind": "mlp", "model.hidden_sizes": [64], "optimizer.learning_rate": 1e-3, "ema": None},
        metrics={"val/accuracy": 0.95, "val/loss": 0.2, "test/accuracy": 0.9},
        last={"val/accuracy": 0.85},
    ),
    RunSummary(
        Path("results/digits/2026-02-01_12-00-00_bbbb"),
        "failed",
        experiment_id="digits",
        started_at="2026-02-01T12:00:00+00:00",
        note='says "no"',
        archived=True,
        args={
            "seed": 1,
            "model.kind": "cnn",
            "model.hidden_sizes": [64, 32],
            "optimizer.learning_rate": 0.1,
            "ema": 0.9,
        },
        metrics={"val/loss": 2.5},
    ),
    RunSummary(
        Path("results/trees/2026-02-02_12-00-00_cccc"),
        "finished",
        experiment_id="trees",
        args={
            "seed": 1,
            "depth": 3,
            "learning_rate": 0.5,
            "use_bagging": True,
            "a.kind": "x",
            "b.kind": "y",
            "status": "new",
        },
        metrics={"val/accuracy": 0.7},
    ),
]


def fitting(text: str) -> str:
    """The last letters of the runs that fit."""
    return "".join(run.id[-1] for run in select(RUNS, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("val/accuracy>0.9", "a"),
        ("accuracy >= .7", "ac"),
        ("accuracy < 1e0 and test/accuracy <= 9e-1", "a"),
        ("last/val/accuracy==0.85", "a"),
        ("last/accuracy<0.9", "a"),
        ("val/accuracy > 0.9 or status == failed", "ab"),
        ("status==failed or status==finished and seed==1", "bc"),
        ("(status==failed or status==finished) and seed==1", "bc"),
        ("(status==failed or seed==0) and val/loss>1", "b"),
        ("not (seed == 1)", "a"),
        ("not seed == 1 and not archived", "a"),
        ("seed = 1", "bc"),
        ("seed != 1", "a"),
        ("model.kind == 'mlp'", "a"),
        ("model.kind != mlp", "b"),  # the third has no such argument
        ("hidden_sizes == [64, 32]", "b"),
        ("hidden_sizes contains 32", "b"),
        ("learning_rate > 0.01", "bc"),  # one is optimizer.learning_rate
        ("optimizer.learning_rate > 0.01", "b"),
        ("seed in [0, 2]", "a"),
        ("seed not in [0, 2]", "bc"),
        ("seed in []", ""),
        ("ema == null", "ac"),
        ("ema != null", "b"),
        ("ema == none and model.kind != null", "a"),
        ("ema", "b"),
        ("use_bagging", "c"),
        ("use_bagging == true", "c"),
        ("use_bagging == 1", ""),
        ("use_bagging > 0", ""),
        ("tag == baseline", "a"),
        ("tags contains 'paper'", "a"),
        ("tags contains 'pap'", ""),
        ("tag =~ '^pap'", "a"),
        ("tag in [paper, other]", "a"),
        ("tag != paper", "bc"),
        ("tags == [baseline, paper]", "a"),
        ('note =~ "\\"no\\"$"', "b"),
        ("note contains 'says'", "b"),
        ("id =~ '_b+$'", "b"),
        ("experiment_id == trees", "c"),
        ("args.status == new", "c"),
        ("started_at > 2026-01-31", "ab"),
        ("started_at >= '2026-02'", "b"),
        ("archived", "b"),
        ("NOT archived AND seed==1", "c"),
        ("val/loss < 'a'", ""),
        ("model.kind < 1", ""),
    ],
)
def test_filter_keeps_the_runs_it_fits(text: str, expected: str) -> None:
    assert fitting(text) == expected


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


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("val/acuracy > 1", 'no run has "val/acuracy"; did you mean val/accuracy?'),
        ("acuracy > 1", 'no run has "acuracy"; did you mean accuracy?'),
        ("lerning_rate > 1", 'no run has "lerning_rate"; did you mean learning_rate?'),
        ("statsu == failed", 'no run has "statsu"; did you mean status?'),
        ("kind == x", '"kind" fits several arguments; write one of a.kind, b.kind'),
        ("zzz", 'no run has "zzz"; known metrics: test/accuracy, val/accuracy, val/loss'),
    ],
)
def test_unknown_name_gets_the_nearest_one(text: str, error: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(error)}$"):
        select(RUNS, text)


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
