import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.train import BestTracker, EarlyStopping

metric_values = st.lists(st.floats(min_value=-1e6, max_value=1e6) | st.just(math.nan), min_size=1, max_size=30)


def stopping_epoch(values: list[float], patience: int, delta: float = 0.0, *, minimize: bool = True) -> int | None:
    """The epoch (from 1) after which training stops."""
    stopping = EarlyStopping(patience, minimize=minimize, delta=delta)
    for epoch, value in enumerate(values, start=1):
        if stopping.update(value):
            return epoch
    return None


def test_patience_n_stops_after_n_epochs_without_improvement() -> None:
    """T: patience n tolerated n-1 epochs."""
    assert stopping_epoch([1.0, 0.5, 0.6, 0.6, 0.6], patience=2) == 4
    assert stopping_epoch([1.0, 0.5, 0.6, 0.6, 0.6], patience=3) == 5
    assert stopping_epoch([1.0, 0.5, 0.6, 0.6, 0.4, 0.6, 0.6], patience=3) is None


def test_patience_1_does_not_stop_after_the_first_epoch() -> None:
    """T: patience 1 always stopped after the first epoch."""
    assert stopping_epoch([1.0, 0.9, 0.8, 0.7], patience=1) is None
    assert stopping_epoch([1.0, 1.0], patience=1) == 2


def test_an_improvement_of_exactly_delta_is_none() -> None:
    assert stopping_epoch([1.0, 0.5, 0.25], patience=1, delta=0.5) == 2
    assert stopping_epoch([1.0, 0.25], patience=1, delta=0.5) is None


def test_the_best_so_far_is_the_best_of_any_epoch() -> None:
    assert stopping_epoch([1.0, 0.95, 0.9, 0.85], patience=3, delta=0.08) == 4


def test_a_metric_can_be_maximized() -> None:
    assert stopping_epoch([0.5, 0.6, 0.7, 0.7], patience=1, minimize=False) == 4


def test_nan_never_improves() -> None:
    assert stopping_epoch([math.nan, math.nan], patience=2) == 2
    assert stopping_epoch([math.nan, 1.0, math.nan, 0.5], patience=2) is None


def test_a_finite_value_improves_on_an_infinite_one() -> None:
    assert stopping_epoch([math.inf, math.inf, 3.0, 2.0], patience=2) is None
    assert stopping_epoch([math.inf, math.inf], patience=1) == 2


def test_no_patience_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 epoch"):
        EarlyStopping(0, minimize=True)


@given(metric_values, st.integers(1, 5), st.sampled_from([0.0, 0.5, 10.0]), st.booleans())
def test_stopping_agrees_with_its_definition(values: list[float], patience: int, delta: float, minimize: bool) -> None:
    signs = [-value if minimize else value for value in values]

    def improved(epoch: int) -> bool:
        before = [value for value in signs[: epoch - 1] if not math.isnan(value)]
        current = signs[epoch - 1]
        return not math.isnan(current) and (not before or current - max(before) > delta)

    expected = next(
        (
            last
            for last in range(patience, len(values) + 1)
            if not any(improved(epoch) for epoch in range(last - patience + 1, last + 1))
        ),
        None,
    )
    assert stopping_epoch(values, patience, delta, minimize=minimize) == expected


@given(metric_values, st.integers(0, 30), st.booleans())
def test_a_restored_state_goes_on_as_if_nothing_had_happened(values: list[float], cut: int, minimize: bool) -> None:
    whole, first, second = (EarlyStopping(3, minimize=minimize, delta=0.5) for _ in range(3))
    best, first_best, second_best = (BestTracker(minimize=minimize) for _ in range(3))
    for epoch, value in enumerate(values, start=1):
        stopping, tracker = (first, first_best) if epoch <= cut else (second, second_best)
        if epoch == cut + 1:
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            second_best.load_state_dict(json.loads(json.dumps(first_best.state_dict())))
        assert stopping.update(value) == whole.update(value)
        assert tracker.update(value, epoch) == best.update(value, epoch)
        assert (tracker.value, tracker.epoch) == (best.value, best.epoch)


def test_the_best_epoch_is_the_first_with_the_best_value() -> None:
    best = BestTracker(minimize=True)
    assert [best.update(value, epoch) for epoch, value in enumerate([3.0, 1.0, 1.0, math.nan, 2.0], start=1)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (best.value, best.epoch) == (1.0, 2)


@given(metric_values, st.booleans())
def test_the_best_value_is_the_extreme_of_the_numbers(values: list[float], minimize: bool) -> None:
    best = BestTracker(minimize=minimize)
    for epoch, value in enumerate(values, start=1):
        best.update(value, epoch)
    numbers = [value for value in values if not math.isnan(value)]
    assert best.value == ((min if minimize else max)(numbers) if numbers else None)
