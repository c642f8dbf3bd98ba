from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from labwright.datasets.tensor import InputDataset, TensorDataset, split_tensors


@pytest.fixture
def images() -> TensorDataset:
    """Twenty 1x2x2 images, image i full of 10 * i, in classes 0, 1, 0, 1, ..."""
    pixels = (torch.arange(20) * 10).to(torch.uint8).reshape(20, 1, 1, 1).expand(20, 1, 2, 2).contiguous()
    return TensorDataset(pixels, torch.arange(20) % 2, source="greys", mean=100.0, std=50.0)


def test_batch_is_normalized_floats_and_says_where_its_samples_are_from(images: TensorDataset) -> None:
    batch = images.__getitems__([10, 15])

    torch.testing.assert_close(batch["input"], torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2))
    assert batch["target"].tolist() == [0, 1]
    assert batch["index"].tolist() == [10, 15]
    assert batch["source"] == ["greys", "greys"]


def test_images_stay_bytes_in_memory(images: TensorDataset) -> None:
    images.__getitems__([0, 1])

    assert images.inputs.dtype == torch.uint8
    assert images.input_shape == (1, 2, 2)


def test_batching_floats_leaves_the_stored_ones_alone() -> None:
    data = TensorDataset(torch.ones(4, 2), torch.zeros(4), source="ones", mean=1.0, std=2.0)
    data[0], data.__getitems__([0, 1])

    assert data.inputs.eq(1).all()


def test_samples_equal_their_batch_and_iteration_ends(images: TensorDataset) -> None:
    batch = images.__getitems__(range(len(images)))

    for index, sample in enumerate(images):
        torch.testing.assert_close(sample["input"], batch["input"][index])
        assert (sample["index"], sample["source"]) == (index, "greys")


def test_torch_loader_takes_whole_batches(images: TensorDataset) -> None:
    loader = DataLoader(images, batch_size=8, collate_fn=lambda batch: batch)

    assert [len(batch["input"]) for batch in loader] == [8, 8, 4]


def test_subset_remembers_where_its_samples_were(images: TensorDataset) -> None:
    part = images.subset([4, 6, 8]).subset([2, 0])

    assert part.source_indices.tolist() == [8, 4]
    assert part.__getitems__([0])["index"].tolist() == [0]
    torch.testing.assert_close(part[0]["input"], images[8]["input"])


def test_take_is_stratified_seeded_and_sized(images: TensorDataset) -> None:
    taken = images.take(10)

    assert sorted(taken.targets.tolist()) == [0] * 5 + [1] * 5
    assert taken.source_indices.tolist() == images.take(10).source_indices.tolist()
    assert taken.source_indices.tolist() != images.take(10, seed=1).source_indices.tolist()
    assert images.take(20) is images


def test_take_of_a_regression_is_sized_too() -> None:
    assert len(TensorDataset(torch.zeros(9, 2), torch.rand(9, 1), source="numbers").take(4)) == 4


def test_inputs_without_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="3 inputs but 2 targets"):
        TensorDataset(torch.zeros(3), torch.zeros(2), source="numbers")


def test_inputs_need_no_targets_and_keep_their_names() -> None:
    data = InputDataset(torch.zeros(3, 2), source="rows", names=["a", "b", "c"])
    batch = data.subset([2, 0]).__getitems__([0, 1])

    assert batch.keys() == {"input", "index", "source", "name"}
    assert (batch["name"], batch["index"].tolist()) == (["c", "a"], [0, 1])
    assert data[1]["name"] == "b"
    assert len(data.take(2)) == 2


def test_samples_without_their_targets_still_know_where_they_were(images: TensorDataset) -> None:
    unlabelled = images.subset([3, 5]).without_targets()

    assert "target" not in unlabelled[0]
    assert unlabelled.source_indices.tolist() == [3, 5]
    torch.testing.assert_close(unlabelled[0]["input"], images[3]["input"])


def test_subset_of_a_subclass_keeps_its_behaviour_and_its_own_tensors_in_step() -> None:
    """Seen: a subset of a subclass was a plain TensorDataset, and what the subclass did was lost."""

    class Weighted(TensorDataset):
        weights = torch.arange(6.0)

        def per_sample(self) -> dict[str, Any]:
            return {**super().per_sample(), "weights": self.weights}

    part = Weighted(torch.zeros(6, 1), torch.zeros(6), source="w").subset([4, 1])

    assert isinstance(part, Weighted)
    assert part.weights.tolist() == [4, 1]


def test_take_keeps_groups_whole() -> None:
    data = TensorDataset(torch.arange(12), torch.arange(12) % 2, source="visits", groups=list("aaaabbbbcccc"))

    assert sorted(np.unique(data.take(9).groups, return_counts=True)[1]) == [4, 4]
    assert len(data.take(3)) == 4


def test_split_tensors_keeps_groups_whole() -> None:
    data = TensorDataset(torch.arange(60), torch.arange(60) % 2, source="visits", groups=np.arange(60) // 3)

    splits = split_tensors(data, name="visits", val_fraction=0.2, test_fraction=0.3, seed=0)

    sets: list[Any] = [splits.train["train"], splits.val["val"], splits.test["test"]]
    assert [len(each) for each in sets] == [30, 12, 18]
    assert len(np.concatenate([np.unique(each.groups) for each in sets])) == 20


def test_split_tensors_divides_classes_evenly_and_numbers_by_count() -> None:
    classes = TensorDataset(torch.arange(40.0).reshape(20, 2), torch.arange(20) % 2, source="toy")
    splits = split_tensors(classes, name="toy", val_fraction=0.2, test_fraction=0.2, seed=0)
    assert (splits.task, splits.num_outputs) == ("classification", 2)
    assert [len(splits.train["train"]), len(splits.val["val"]), len(splits.test["test"])] == [12, 4, 4]
    val: Any = splits.val["val"]
    assert val.targets.float().mean() == 0.5

    numbers = TensorDataset(torch.arange(40.0).reshape(20, 2), torch.randn(20, 3), source="toy")
    splits = split_tensors(numbers, name="toy", val_fraction=0, test_fraction=0.5, seed=0)
    assert (splits.task, splits.num_outputs, splits.val) == ("regression", 3, {})
