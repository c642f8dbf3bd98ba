from typing import Any

import numpy as np
import pytest
import torch

from labwright.args import UserError
from labwright.datasets.digits import build_digits
from labwright.datasets.mapped import MappedDataset, map_dataset
from labwright.datasets.splits import input_shape
from labwright.datasets.tensor import TensorDataset
from labwright.datasets.view import limit


@pytest.fixture
def digits() -> TensorDataset:
    dataset = build_digits(0.1, 0.2, 0).val["val"]
    assert isinstance(dataset, TensorDataset)
    return dataset


def with_noise(batch: dict[str, Any]) -> dict[str, Any]:
    return {"input": batch["input"] + torch.randn_like(batch["input"]), "target": batch["input"]}


def test_function_gets_whole_batches_and_samples_keep_where_they_are_from(digits: TensorDataset) -> None:
    clean: Any = digits.__getitems__([5, 2])
    batch: Any = map_dataset(digits, with_noise, draws_random_numbers=True).__getitems__([5, 2])

    torch.testing.assert_close(batch["target"], clean["input"])
    assert not torch.equal(batch["input"], clean["input"])
    assert (batch["index"].tolist(), batch["source"]) == ([5, 2], ["digits", "digits"])


def test_pseudo_labels_of_a_set_without_targets(digits: TensorDataset) -> None:
    labelled = map_dataset(digits.without_targets(), lambda batch: {**batch, "target": batch["index"] % 10})

    assert labelled[13]["target"] == 3
    assert (labelled[13]["index"], labelled[13]["source"]) == (13, "digits")


def test_dataset_of_samples_is_batched_for_the_function() -> None:
    pairs = [(torch.tensor([float(number)]), 0.5) for number in range(4)]
    doubled = map_dataset(pairs, lambda batch: {**batch, "input": 2 * batch["input"]})

    batch: Any = doubled.__getitems__([3, 1])
    assert batch["input"].tolist() == [[6.0], [2.0]]
    assert (batch["target"].dtype, batch["index"].tolist()) == (torch.float32, [3, 1])
    assert [sample["input"].item() for sample in doubled] == [0, 2, 4, 6]


def test_shape_is_that_of_what_the_function_returns(digits: TensorDataset) -> None:
    flat = map_dataset(digits, lambda batch: {**batch, "input": batch["input"].flatten(1)})

    assert input_shape(flat) == (64,)


def test_randomness_is_that_of_dataset_and_function(digits: TensorDataset) -> None:
    assert not map_dataset(digits, with_noise).draws_random_numbers
    assert map_dataset(digits, with_noise, draws_random_numbers=True).draws_random_numbers
    assert map_dataset([(torch.zeros(1), 0)], with_noise).draws_random_numbers


def test_limit_and_groups_are_those_of_the_dataset_underneath(digits: TensorDataset) -> None:
    few: Any = limit(map_dataset(digits, with_noise, draws_random_numbers=True), 20)

    assert isinstance(few, MappedDataset) and few.draws_random_numbers
    assert torch.bincount(few.dataset.targets).tolist() == [2] * 10
    digits.groups = np.arange(len(digits)) // 6
    assert np.unique(limit(map_dataset(digits, with_noise), 20).groups, return_counts=True)[1].tolist() == [6] * 3


def test_function_that_forgets_to_return_is_named(digits: TensorDataset) -> None:
    with pytest.raises(UserError, match="has to return the batch, a dict; this one returned a NoneType"):
        map_dataset(digits, lambda batch: None).__getitems__([0])
