from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labwright.args import UserError
from labwright.datasets.digits import build_digits
from labwright.datasets.joined import Interleave, JoinedDataset
from labwright.datasets.tensor import TensorDataset
from labwright.datasets.view import DatasetView, limit

INTERLEAVES: tuple[Interleave, ...] = ("sequence", "shuffle", "proportional")


def numbers(num_samples: int, first: int = 0, **fields: Any) -> TensorDataset:
    values = torch.arange(first, first + num_samples)
    return TensorDataset(values[:, None].float(), values % 2, source=f"from {first}", **fields)


class Squares:
    """Sample by sample, pairs."""

    def __init__(self, num_samples: int = 5) -> None:
        self.num_samples = num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(index**2)]), index % 2


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    interleave=st.sampled_from(INTERLEAVES),
    data=st.data(),
)
def test_every_sample_leads_back_to_where_it_is_from(sizes: list[int], interleave: Interleave, data: Any) -> None:
    members = {f"set{number}": numbers(size, 100 * number) for number, size in enumerate(sizes)}
    joined = JoinedDataset(members, interleave=interleave, seed=7)
    positions = data.draw(st.lists(st.integers(0, len(joined) - 1), min_size=1, max_size=20))

    batch: Any = joined.__getitems__(positions)

    assert batch["index"].tolist() == positions
    for row, (position, source, there) in enumerate(
        zip(positions, batch["source"], batch["source_index"].tolist(), strict=True)
    ):
        original, sample = members[source][there], joined[position]
        assert batch["input"][row] == original["input"] == sample["input"]
        assert batch["target"][row] == original["target"] == sample["target"]
        assert (sample["index"], sample["source"], sample["source_index"]) == (position, source, there)


@pytest.mark.parametrize("interleave", INTERLEAVES)
def test_all_samples_are_there_once(interleave: Interleave) -> None:
    joined = JoinedDataset({"a": numbers(30), "b": numbers(10, 100)}, interleave=interleave)

    assert sorted(sample["input"].item() for sample in joined) == [*range(30), *range(100, 110)]


def test_orders_are_what_they_are_called() -> None:
    sets = {"a": numbers(6), "b": numbers(3, 100)}
    values = {
        interleave: [int(sample["input"]) for sample in JoinedDataset(sets, interleave=interleave)]
        for interleave in INTERLEAVES
    }

    assert values["sequence"] == [0, 1, 2, 3, 4, 5, 100, 101, 102]
    assert values["proportional"] == [0, 100, 1, 2, 101, 3, 4, 102, 5]
    assert values["shuffle"] not in (values["sequence"], values["proportional"])


def test_shuffling_follows_from_the_seed() -> None:
    sets = {"a": numbers(20), "b": numbers(20, 100)}
    first, again, other = (JoinedDataset(sets, interleave="shuffle", seed=seed) for seed in (1, 1, 2))

    assert np.array_equal(first.positions, again.positions) and np.array_equal(first.members, again.members)
    assert not np.array_equal(first.positions, other.positions)


def test_each_dataset_in_a_batch_is_asked_once() -> None:
    asked: list[list[int]] = []

    class Counting(TensorDataset):
        def __getitems__(self, indices: Any) -> Any:
            asked.append(indices)
            return super().__getitems__(indices)

    sets = {name: Counting(torch.zeros(4, 1), torch.zeros(4), source=name) for name in "ab"}

    JoinedDataset(sets).__getitems__([5, 0, 7, 2])

    assert asked == [[0, 2], [1, 3]]


def test_datasets_of_samples_and_of_batches_mix() -> None:
    batch: Any = JoinedDataset({"tensors": numbers(4), "squares": Squares()}).__getitems__([8, 1, 7])

    assert batch["input"].tolist() == [[16.0], [1.0], [9.0]]
    assert batch["target"].tolist() == [0, 1, 1]
    assert batch["source"] == ["squares", "tensors", "squares"]


def test_shape_randomness_and_digits_pass_through() -> None:
    digits = build_digits(0.1, 0.2, 0)
    joined = JoinedDataset({**digits.train, **digits.val})

    assert joined.input_shape == (1, 8, 8)
    assert not joined.draws_random_numbers
    assert JoinedDataset({"squares": Squares(), **digits.val}).draws_random_numbers


def test_limit_takes_of_each_in_proportion_and_by_its_own_way() -> None:
    joined = JoinedDataset({"a": numbers(80), "b": numbers(20, 100), "c": Squares(100)}, interleave="shuffle")

    few: Any = limit(joined, 20)

    assert {name: len(dataset) for name, dataset in few.datasets.items()} == {"a": 8, "b": 2, "c": 10}
    assert sorted(few.datasets["a"].targets.tolist()) == [0] * 4 + [1] * 4  # stratified
    assert limit(joined, 200) is joined


def test_limit_keeps_groups_whole_across_the_joined_sets() -> None:
    groups = np.arange(20) // 5
    joined = JoinedDataset(
        {"a": numbers(20, groups=groups), "b": numbers(20, 100, groups=groups)}, interleave="shuffle"
    )

    few: Any = limit(joined, 25)

    assert isinstance(few, DatasetView)
    assert np.unique(few.groups, return_counts=True)[1].tolist() == [10, 10]


def test_samples_without_groups_are_groups_of_their_own() -> None:
    joined = JoinedDataset({"a": numbers(4, groups=["x", "x", "y", "y"]), "b": numbers(2, 100)})

    assert joined.groups is not None
    assert joined.groups.tolist() == ["x", "x", "y", "y", "b[0]", "b[1]"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (numbers(4).without_targets(), "'a' and 'b' do not mix: one has 'input', 'target', the other 'input'$"),
        (
            TensorDataset(torch.zeros(4, 2), torch.zeros(4).long(), source="wide"),
            r"`input` is float32 \[1\] in one and float32 \[2\] in the other",
        ),
        (
            TensorDataset(torch.zeros(4, 1), torch.zeros(4), source="numbers"),
            r"`target` is int64 \[\] in one and float32 \[\] in the other",
        ),
    ],
)
def test_samples_that_do_not_mix_are_one_clear_line(other: Any, message: str) -> None:
    joined = JoinedDataset({"a": numbers(4), "b": other})

    with pytest.raises(UserError, match=message):
        joined.__getitems__([0, 5])


def test_joining_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to join"):
        JoinedDataset({})


def test_position_past_the_end_ends_the_iteration() -> None:
    with pytest.raises(IndexError, match="sample 4 of 4"):
        JoinedDataset({"a": numbers(4)})[4]
