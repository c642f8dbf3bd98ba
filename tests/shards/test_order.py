import hashlib
import math
from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.shards import Permutation


def whole(length: int, seed: int = 0, epoch: int = 1) -> list[int]:
    return Permutation(length, seed, epoch).positions(0, length).tolist()


def by_hand(length: int, seed: int, epoch: int, place: int) -> int:
    """What the docstring of Permutation says, a position at a time, in whole numbers of Python."""
    root = math.isqrt(max(0, length - 1)) + 1
    columns = min(range(root, root + min(64, root // 4 + 1)), key=lambda columns: -length % columns)
    rows = max(1, -(-length // columns))
    num_rounds = 24 if length < 4096 else 6
    stream = hashlib.shake_256(f"labwright permutation {seed} {epoch}".encode()).digest(16 * num_rounds)
    keys = [int.from_bytes(stream[start : start + 8], "little") for start in range(0, len(stream), 8)]
    while True:
        row, column = divmod(place, columns)
        for number, (multiplier, addend) in enumerate(zip(keys[::2], keys[1::2], strict=True)):
            other, size = (column, rows) if number % 2 else (row, columns)
            mixed = (other * (multiplier | 1) + addend) % 2**64
            mixed = (mixed ^ mixed >> 32) * 0xBF58476D1CE4E5B9 % 2**64
            move = (mixed >> 32) * size >> 32
            row, column = ((row + move) % rows, column) if number % 2 else (row, (column + move) % columns)
        place = row * columns + column
        if place < length:
            return place


@settings(max_examples=30)
@given(length=st.integers(1, 2**62 - 1) | st.integers(1, 6000), seed=st.integers(0), place=st.floats(0, 0.99))
def test_the_order_is_the_one_that_is_described(length: int, seed: int, place: float) -> None:
    first = int(place * length)
    found = Permutation(length, seed, 4).positions(first, min(length, first + 3))
    assert found.tolist() == [by_hand(length, seed, 4, each) for each in range(first, min(length, first + 3))]


@settings(max_examples=30)
@given(length=st.integers(0, 9000), seed=st.integers(0, 2**64), epoch=st.integers(0, 1000))
def test_every_sample_has_one_place_whatever_the_length(length: int, seed: int, epoch: int) -> None:
    found = Permutation(length, seed, epoch).positions(0, length)
    assert found.dtype == np.int64 and np.array_equal(np.sort(found), np.arange(length))


def test_every_short_length_is_a_permutation() -> None:
    for length in range(70):
        assert sorted(whole(length)) == list(range(length)), length


@settings(max_examples=30)
@given(
    length=st.integers(1, 2**62 - 1),
    seed=st.integers(0, 2**32),
    start=st.floats(0, 1, exclude_max=True),
    size=st.integers(0, 300),
)
def test_a_part_of_a_huge_order_lies_within_it_and_repeats_nothing(
    length: int, seed: int, start: float, size: int
) -> None:
    first = min(int(start * length), length - 1)
    stop = min(length, first + size)
    found = Permutation(length, seed, 1).positions(first, stop)
    assert len(set(found.tolist())) == stop - first
    assert ((found >= 0) & (found < length)).all()


@settings(max_examples=30)
@given(length=st.integers(1, 30000), cuts=st.lists(st.floats(0, 1), max_size=4))
def test_parts_are_cut_out_of_one_order(length: int, cuts: list[float]) -> None:
    order = Permutation(length, 3, 2)
    ends = [0, *sorted(int(cut * length) for cut in cuts), length]
    parts = [order.positions(start, stop) for start, stop in pairwise(ends)]
    assert np.array_equal(np.concatenate(parts), order.positions(0, length))


def test_seed_and_epoch_each_change_the_order() -> None:
    orders = [whole(100, seed, epoch) for seed in range(4) for epoch in range(4)]
    assert len(set(map(tuple, orders))) == 16
    assert whole(100, 2, 3) == whole(100, 2, 3)


def test_the_order_never_changes_from_one_version_to_the_next() -> None:
    """A resumed epoch would else go on in another order: these numbers are not to be edited."""
    assert whole(10, 0, 1) == [5, 2, 7, 8, 6, 4, 1, 0, 3, 9]
    assert Permutation(1000, 1, 2).positions(0, 8).tolist() == [882, 850, 5, 111, 394, 27, 75, 684]
    assert Permutation(10**6, 7, 3).positions(999_995, 10**6).tolist() == [409744, 420452, 581517, 657038, 703532]
    assert Permutation(10**12, 7, 3).positions(10**11, 10**11 + 3).tolist() == [
        605732019965,
        373292005567,
        966193356093,
    ]
    assert Permutation(2**62 - 1, 2**80, 9).positions(5, 7).tolist() == [3626490946770916133, 2358461342782768812]


@pytest.mark.parametrize("length", [2, 3, 4, pytest.param(5, marks=pytest.mark.slow)])
def test_all_orders_of_a_few_samples_are_equally_likely(length: int) -> None:
    orders = list(permutations(range(length)))
    counts = Counter(tuple(whole(length, seed)) for seed in range(40 * len(orders)))
    squares = sum((counts[order] - 40) ** 2 / 40 for order in orders)
    degrees = len(orders) - 1
    assert squares < degrees + 4 * (2 * degrees) ** 0.5 + 2


@pytest.mark.parametrize("length", [16, pytest.param(100, marks=pytest.mark.slow)])
def test_every_sample_is_equally_likely_at_every_place(length: int) -> None:
    num_orders = 30 * length
    counts = np.zeros((length, length))
    for seed in range(num_orders):
        counts[np.arange(length), Permutation(length, seed, 1).positions(0, length)] += 1
    expected, degrees = num_orders / length, (length - 1) ** 2
    squares = ((counts - expected) ** 2 / expected).sum()
    assert abs(squares - degrees) < 5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize(
    ("length", "num_orders"), [pytest.param(61, 1500, marks=pytest.mark.slow), (4096, 60), (50_000, 8)]
)
def test_neighbours_in_the_data_are_no_neighbours_in_the_order(length: int, num_orders: int) -> None:
    """Counted over seeds: how far samples lie from each other that stand 1, 2 or 64 places from each other."""
    counts = {apart: np.zeros(length) for apart in (1, 2, 64 % length)}
    for seed in range(num_orders):
        order = Permutation(length, seed, 5).positions(0, length)
        for apart, found in counts.items():
            found += np.bincount((order[apart:] - order[:-apart]) % length, minlength=length)
    for found in counts.values():
        expected, degrees = found[1:].mean(), length - 2
        squares = ((found[1:] - expected) ** 2 / expected).sum()
        assert found[0] == 0
        assert abs(squares - degrees) < 5 * (2 * degrees) ** 0.5


def test_two_epochs_have_no_order_in_common() -> None:
    first, second = (np.argsort(Permutation(20_000, 0, epoch).positions(0, 20_000)) for epoch in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert (first == second).sum() < 10


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 11), (3, 2)])
def test_places_outside_of_the_order_are_refused(start: int, stop: int) -> None:
    with pytest.raises(IndexError, match=f"places {start} to {stop} of an order of 10"):
        Permutation(10, 0, 1).positions(start, stop)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="not -1"):
        Permutation(-1, 0, 1)
