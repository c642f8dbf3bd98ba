from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from labwright.datasets.grouped import split_groups, take_groups
from labwright.datasets.tensor import TensorDataset, split_tensors
from labwright.datasets.view import DatasetView, limit

groups_strategy = st.lists(st.integers(0, 12), min_size=1, max_size=120)
fractions_strategy = st.tuples(st.floats(0, 0.5), st.floats(0, 0.49))


@given(groups=groups_strategy, fractions=fractions_strategy, seed=st.integers(0, 1000))
def test_split_is_a_partition_into_whole_groups_of_about_the_right_size(
    groups: list[int], fractions: tuple[float, float], seed: int
) -> None:
    parts = split_groups(groups, fractions, seed)

    labels = [set(np.array(groups)[part].tolist()) for part in parts]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    assert sum(map(len, labels)) == len(set(groups))
    assert labels[0]
    largest = np.bincount(groups).max()
    for fraction, part in zip(fractions, parts[1:], strict=True):
        assert len(part) <= fraction * len(groups) + largest / 2
        assert len(part) >= fraction * len(groups) - largest / 2 or len(labels[0]) == 1


@given(groups=groups_strategy, num_samples=st.integers(1, 150), seed=st.integers(0, 1000))
def test_taken_groups_are_whole_and_within_the_limit(groups: list[int], num_samples: int, seed: int) -> None:
    taken = np.array(groups)[take_groups(groups, num_samples, seed)].tolist()

    sizes = np.bincount(groups)
    assert taken
    assert all(taken.count(group) == sizes[group] for group in set(taken))
    assert len(taken) <= num_samples or len(taken) == sizes[sizes > 0].min()


def groups_of(dataset: Any) -> list[int]:
    return dataset.groups.tolist()


@given(
    sizes=st.lists(st.integers(1, 6), min_size=8, max_size=12),
    num_samples=st.integers(1, 40),
    seed=st.integers(0, 50),
)
def test_a_group_is_never_on_both_sides_of_a_split_and_never_cut_by_a_limit(
    sizes: list[int], num_samples: int, seed: int
) -> None:
    """Seen: a limit on the samples cut through patients whose other images were in the validation set."""
    groups = np.repeat(np.arange(len(sizes)), sizes).tolist()
    inputs = np.arange(len(groups))
    data = TensorDataset(torch.from_numpy(inputs), torch.from_numpy(inputs % 2), source="visits", groups=groups)
    splits = split_tensors(data, name="visits", val_fraction=0.3, test_fraction=0.2, seed=seed)
    val, test, train = (next(iter(named.values())) for named in (splits.val, splits.test, splits.train))
    held_out = groups_of(val) + groups_of(test)
    for dataset in (train, DatasetView(train, range(len(train)))):
        kept = groups_of(limit(dataset, num_samples, seed))
        assert set(held_out).isdisjoint(kept)
        assert all(kept.count(group) == groups.count(group) for group in set(kept))


def test_text_labels_are_groups_too_and_the_seed_decides() -> None:
    groups = [f"patient {number // 4}" for number in range(80)]

    first, again, other = (split_groups(groups, [0.25], seed)[1].tolist() for seed in (3, 3, 4))

    assert first == again != other
    assert len(first) == 20


def test_grouped_split_is_the_same_on_every_machine() -> None:
    """These numbers may never change: they decide what every stored run was trained on."""
    _, val, test = split_groups(np.arange(16) // 2, [0.25, 0.25], 0)

    assert (val.tolist(), test.tolist()) == ([0, 1, 6, 7], [12, 13, 14, 15])
