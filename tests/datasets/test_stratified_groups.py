"""Splits of whole groups with the classes in balance."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.datasets.splits import hold_out
from labwright.datasets.stratified_groups import split_stratified_groups


def test_groups_stay_whole_and_classes_keep_their_shares() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), rng.integers(1, 9, 200))
    classes = (rng.random(len(groups)) < 0.1 + 0.4 * (groups % 2)).astype(int)
    parts = split_stratified_groups(groups, classes, [0.1, 0.2], seed=0)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(groups)))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {*groups[parts[one]]} & {*groups[parts[other]]}
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        assert abs(len(part) / len(groups) - share) < 0.02
        assert abs(classes[part].mean() - classes.mean()) < 0.02


def test_a_class_that_a_few_groups_have_is_in_every_part() -> None:
    groups = np.repeat(np.arange(30), 10)
    classes = (groups % 10 == 0).astype(int)
    parts = split_stratified_groups(groups, classes, [1 / 3, 1 / 3], seed=0)
    assert [classes[part].sum() for part in parts] == [10, 10, 10]


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    groups, classes = np.arange(300) // 3, np.arange(300) % 5
    first, again, other = (split_stratified_groups(groups, classes, [0.2], seed)[1] for seed in (0, 0, 1))
    assert first[:8].tolist() == again[:8].tolist() != other[:8].tolist()
    assert np.array_equal(first, again)


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40),
    st.floats(0, 0.45),
    st.floats(0, 0.45),
)
def test_every_split_is_a_partition_into_whole_groups(
    samples: list[tuple[int, int]], val_fraction: float, test_fraction: float
) -> None:
    groups, classes = (np.array([sample[place] for sample in samples], dtype=int) for place in (0, 1))
    parts = split_stratified_groups(groups, classes, [val_fraction, test_fraction], seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(samples)))
    assert len({*groups.tolist()}) == sum(len({*groups[part].tolist()}) for part in parts)
    assert not samples or len(parts[0])
    if val_fraction == 0:
        assert not len(parts[1])


def test_hold_out_balances_groups_if_so_asked() -> None:
    groups, classes = np.arange(100) // 2, np.arange(100) // 2 % 2
    _, val, _ = hold_out(classes, val_fraction=0.2, test_fraction=0, seed=0, groups=groups, balanced=True)
    assert np.bincount(classes[val]).tolist() == [10, 10]
