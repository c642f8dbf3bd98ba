"""Arguments are told where runs differ in them, by names that are short and tell them apart."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.flat_args import differing_args, short_names

FLAT = st.dictionaries(st.sampled_from(["a", "b.kind", "b.x", "b.y"]), st.integers(0, 2) | st.just([1]), max_size=4)


def test_only_arguments_that_differ_are_told() -> None:
    adam = {"seed": 0, "epochs": 3, "optimizer.kind": "adam", "optimizer.learning_rate": 0.1}
    assert differing_args([adam, adam | {"seed": 1}, adam | {"optimizer.learning_rate": 0.2}]) == [
        "seed",
        "optimizer.learning_rate",
    ]


def test_what_only_the_other_kind_of_part_has_is_no_difference() -> None:
    adam = {"optimizer.kind": "adam", "optimizer.learning_rate": 0.1, "optimizer.betas": [0.9, 0.99]}
    sgd = {"optimizer.kind": "sgd", "optimizer.learning_rate": 0.1, "optimizer.momentum": 0.9}
    assert differing_args([adam, sgd]) == ["optimizer.kind"]
    assert differing_args([adam, sgd, sgd | {"optimizer.momentum": 0.5}]) == ["optimizer.kind", "optimizer.momentum"]


def test_an_argument_that_an_older_run_did_not_have_differs() -> None:
    assert differing_args([{"experiment_id": "a"}, {"experiment_id": "a", "new": 1}]) == ["new"]
    assert differing_args([{"experiment_id": "a"}, {"experiment_id": "b", "new": 1}]) == ["experiment_id"]


@given(st.lists(FLAT, min_size=1, max_size=4))
def test_equal_runs_differ_in_nothing_and_the_order_of_runs_does_not_matter(runs: list[dict[str, Any]]) -> None:
    assert differing_args([runs[0], runs[0]]) == []
    assert sorted(differing_args(runs)) == sorted(differing_args(runs[::-1]))


def test_an_argument_goes_by_its_last_name_where_no_other_has_it() -> None:
    paths = ["seed", "model.kind", "model.size", "data.size", "optimizer.kind"]
    assert short_names(paths) == {
        "seed": "seed",
        "model.kind": "model",
        "model.size": "model.size",
        "data.size": "data.size",
        "optimizer.kind": "optimizer",
    }
