"""A filter keeps the runs that it fits."""

import re

import pytest

from labwright.args.errors import UserError
from labwright.runs.listing.query import select

from .runs_to_filter import RUNS


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
