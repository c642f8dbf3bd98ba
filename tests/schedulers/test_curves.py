import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.schedulers.curves import decay_at, decay_every, rise_and_fall, warmup_then_cosine

steps = st.integers(0, 500)
shares = st.floats(0, 1)


def test_decay_every_multiplies_after_each_step_size() -> None:
    curve = decay_every(3, 0.5)
    assert [curve(epoch) for epoch in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_decay_at_multiplies_at_each_milestone_in_any_order() -> None:
    curve = decay_at([4, 2], 0.5)
    assert [curve(epoch) for epoch in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_decay_vanishes_quietly_after_very_many_epochs() -> None:
    assert decay_every(1, 0.1)(1_000_000) == 0.0


@given(warmup=st.floats(0, 600), total=steps, minimum=shares, done=st.integers(0, 600))
def test_cosine_stays_between_zero_and_one(warmup: float, total: int, minimum: float, done: int) -> None:
    assert 0 <= warmup_then_cosine(warmup, total, minimum)(done) <= 1


@given(warmup=st.integers(0, 500), total=steps, minimum=shares)
def test_cosine_ends_at_its_minimum(warmup: int, total: int, minimum: float) -> None:
    curve = warmup_then_cosine(min(warmup, total), total, minimum)
    assert curve(total) == curve(total + 7) == minimum


@given(warmup=st.integers(1, 500), total=steps)
def test_warmup_is_a_straight_line_that_starts_above_zero(warmup: int, total: int) -> None:
    curve = warmup_then_cosine(warmup, total, 0.0)
    assert [curve(done) for done in range(min(warmup, total))] == [
        (done + 1) / warmup for done in range(min(warmup, total))
    ]


@pytest.mark.parametrize("warmup", [9.5, 10, 10.5, 11, 1000])
def test_warmup_longer_than_the_run_divided_by_zero(warmup: float) -> None:
    """A warm-up as long as the run left no steps for the cosine, and its progress was 0 / 0."""
    values = [warmup_then_cosine(warmup, 10, 0.1)(done) for done in range(11)]
    assert all(math.isfinite(value) for value in values)
    assert values[:9] == [min(1.0, (done + 1) / warmup) for done in range(9)]


def test_cosine_without_warmup_is_the_formula() -> None:
    curve = warmup_then_cosine(0, 100, 0.2)
    for done in range(101):
        assert curve(done) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * done / 100)) / 2)


def test_only_step_of_a_run_is_a_full_one() -> None:
    assert warmup_then_cosine(0, 1, 0.0)(0) == 1.0


@given(total=steps, rising=shares, done=st.integers(0, 600))
def test_one_cycle_stays_between_its_ends_and_its_peak(total: int, rising: float, done: int) -> None:
    value = rise_and_fall(0.04, 1.0, 0.001, total=total, rising_fraction=rising)(done)
    assert 0.001 <= value <= 1.0


def test_one_cycle_rises_to_its_peak_and_ends_at_its_end() -> None:
    curve = rise_and_fall(0.04, 1.0, 0.001, total=100, rising_fraction=0.3)
    values = [curve(done) for done in range(101)]
    assert (values[0], values[30], values[100]) == pytest.approx((0.04, 1.0, 0.001))
    assert values[:31] == sorted(values[:31]) and values[30:] == sorted(values[30:], reverse=True)
