from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labwright.args import UserError
from labwright.datasets.mixed import MixedDataset
from labwright.datasets.tensor import TensorDataset
from labwright.datasets.view import limit


def numbers(num_samples: int, first: int = 0, **fields: Any) -> TensorDataset:
    values = torch.arange(first, first + num_samples)
    return TensorDataset(values[:, None].float(), values % 2, source=f"from {first}", **fields)


def counts(mixed: Any) -> dict[str, int]:
    batch = mixed.__getitems__(list(range(len(mixed))))
    return {name: batch["source"].count(name) for name in mixed.datasets}


@given(
    ratios=st.lists(st.floats(0.01, 100), min_size=1, max_size=5),
    num_samples=st.integers(1, 200),
    seed=st.integers(0, 100),
)
def test_ratios_are_exact(ratios: list[float], num_samples: int, seed: int) -> None:
    sets = {f"set{number}": numbers(3 + 10 * number) for number in range(len(ratios))}
    mixed = MixedDataset(sets, dict(zip(sets, ratios, strict=True)), num_samples, seed)

    found = np.bincount(mixed.members, minlength=len(ratios))
    assert len(mixed) == found.sum() == num_samples
    assert (abs(found - num_samples * np.array(ratios) / sum(ratios)) < 1 + 1e-9).all()


def test_small_set_starts_over_and_each_round_is_complete() -> None:
    mixed = MixedDataset({"small": numbers(3), "large": numbers(100, 500)}, {"small": 1, "large": 1}, 20)

    small = mixed.positions[mixed.members == 0].tolist()
    assert counts(mixed) == {"small": 10, "large": 10}
    assert sorted(small.count(position) for position in range(3)) == [3, 3, 4]
    assert len(set(mixed.positions[mixed.members == 1])) == 10


def test_samples_say_where_they_are_from() -> None:
    mixed = MixedDataset({"a": numbers(4), "b": numbers(4, 100)}, {"a": 3, "b": 1}, 8)
    batch: Any = mixed.__getitems__([7, 0, 3])

    assert batch["index"].tolist() == [7, 0, 3]
    for value, source, there in zip(batch["input"], batch["source"], batch["source_index"], strict=True):
        assert value.item() == there + {"a": 0, "b": 100}[source]


def test_epoch_is_as_long_as_all_sets_together_unless_said() -> None:
    assert len(MixedDataset({"a": numbers(4), "b": numbers(6)}, {"a": 1, "b": 1})) == 10


def test_mixture_follows_from_the_seed() -> None:
    sets, ratios = {"a": numbers(50), "b": numbers(50)}, {"a": 1, "b": 2}
    first, again, other = (MixedDataset(sets, ratios, 30, seed) for seed in (1, 1, 2))

    assert first.positions.tolist() == again.positions.tolist() != other.positions.tolist()


def test_set_with_ratio_zero_is_left_out() -> None:
    assert counts(MixedDataset({"a": numbers(4), "b": numbers(0)}, {"a": 1, "b": 0}, 6)) == {"a": 6, "b": 0}


def test_limit_keeps_the_ratios() -> None:
    few = limit(MixedDataset({"a": numbers(40), "b": numbers(40)}, {"a": 3, "b": 1}), 12)

    assert counts(few) == {"a": 9, "b": 3}


def test_limit_keeps_groups_whole() -> None:
    sets = {"a": numbers(12, groups=np.arange(12) // 3), "b": numbers(12, 100, groups=np.arange(12) // 3)}
    few: Any = limit(MixedDataset(sets, {"a": 1, "b": 1}, 24), 12)

    assert np.unique(few.groups, return_counts=True)[1].tolist() == [6, 6]


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"a": 1}, "ratios are given for 'a', but the datasets to mix are 'a', 'b'"),
        ({"a": 1, "b": -1}, "the ratio of 'b' is -1"),
        ({"a": 1, "b": float("nan")}, "the ratio of 'b' is nan"),
        ({"a": 0, "b": 0}, "nothing to mix"),
        ({"a": 0, "b": 1}, "'b' has no samples to mix in"),
    ],
)
def test_impossible_mixture_is_one_clear_line(ratios: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MixedDataset({"a": numbers(3), "b": numbers(0)}, ratios)
