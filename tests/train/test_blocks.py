"""Batches made several at once are what they would be one by one."""

import pytest
import torch
from torch import Tensor, nn

from labwright.datasets import TensorDataset
from labwright.datasets.digits import build_digits
from labwright.train import Batch, Loader, build_loader
from labwright.train.batch import PlacedBatch
from labwright.train.blocks import batches_in_block, cut


def digits() -> TensorDataset:
    dataset = build_digits(0.1, 0.2, 0).train["train"]
    assert isinstance(dataset, TensorDataset)
    return dataset


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(
        value.equal(other[key]) if isinstance(value, Tensor) else value == other[key] for key, value in one.items()
    )


def loader_of(dataset: TensorDataset, batch_size: int = 64) -> Loader:
    return build_loader(dataset, batch_size, shuffle=True, seed=3)


@pytest.mark.parametrize("batch_size", [7, 32, 64, 5000])
def test_batches_of_a_block_are_those_that_the_dataset_gives_for_their_positions(batch_size: int) -> None:
    dataset = digits()
    batches = list(loader_of(dataset, batch_size))
    assert all(same(batch, dataset.__getitems__(batch["index"])) for batch in batches)
    assert torch.cat([batch["index"] for batch in batches]).sort().values.equal(torch.arange(len(dataset)))


@pytest.mark.parametrize("num_batches", [1, 17, 20])
def test_a_pass_taken_up_within_a_block_goes_on_with_the_same_batches(num_batches: int) -> None:
    loader = loader_of(digits())
    whole = list(loader)
    loader.start_at(num_batches)
    rest = list(loader)
    assert len(rest) == len(whole) - num_batches
    assert all(same(*pair) for pair in zip(rest, whole[num_batches:], strict=True))


def test_a_model_may_write_over_its_input_and_the_next_batch_is_not_touched() -> None:
    shift = nn.Parameter(torch.ones(()))
    for batch, untouched in zip(loader_of(digits()), loader_of(digits()), strict=True):
        assert batch["input"].equal(untouched["input"])
        batch["input"] += shift
        batch["input"].sum().backward()


def test_batches_that_would_not_begin_where_tensors_do_are_made_one_by_one() -> None:
    sample = {"input": torch.zeros(1, 8), "index": torch.zeros(1, dtype=torch.int64), "source": ["digits"]}
    assert batches_in_block(sample, 64) == 64 and batches_in_block(sample, 7) == 1
    assert batches_in_block({"input": torch.zeros(1, 784)}, 64) == 5, "together a megabyte"
    assert batches_in_block({"input": torch.zeros(1, 3, 224, 224)}, 64) == 1


def test_a_block_on_a_device_keeps_the_positions_that_can_be_read_here() -> None:
    there = torch.arange(5, dtype=torch.int32)  # another type stands for another device
    block = PlacedBatch({"input": torch.zeros(5, 1), "index": there, "name": list("abcde")}, torch.arange(5))
    *_, last = cut(block, 2)
    assert isinstance(last, PlacedBatch)
    assert (last["index"].tolist(), last["name"]) == (last.placed_index.tolist(), last["name"]) == ([4], ["e"])
    assert (last["index"].dtype, last.placed_index.dtype) == (torch.int64, torch.int32)
