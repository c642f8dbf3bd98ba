from typing import Any

import numpy as np
import pytest
import torch

from labwright.datasets.tensor import TensorDataset
from labwright.datasets.view import DatasetView, limit


@pytest.fixture
def images() -> TensorDataset:
    """Twenty 1x2x2 images, image i full of 10 * i, in classes 0, 1, 0, 1, ..."""
    pixels = (torch.arange(20) * 10).to(torch.uint8).reshape(20, 1, 1, 1).expand(20, 1, 2, 2).contiguous()
    return TensorDataset(pixels, torch.arange(20) % 2, source="greys", mean=100.0, std=50.0)


class Squares:
    """A user's dataset: sample by sample, with no more than it needs."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"input": torch.tensor(float(index**2)), "index": index}


def test_limit_works_for_a_dataset_of_ones_own() -> None:
    few = limit(Squares(), 3)

    assert isinstance(few, DatasetView)
    positions = few.indices.tolist()
    assert [sample["input"].item() for sample in few] == [position**2 for position in positions]
    assert [sample["index"] for sample in few] == [0, 1, 2]


def test_limit_uses_a_datasets_own_take(images: TensorDataset) -> None:
    few = limit(images, 4)

    assert isinstance(few, TensorDataset)
    assert sorted(few.targets.tolist()) == [0, 0, 1, 1]


def test_limit_above_the_size_changes_nothing() -> None:
    squares = Squares()

    assert limit(squares, 10) is squares


def test_view_of_batches_gives_batches(images: TensorDataset) -> None:
    view = DatasetView(images, np.array([5, 7, 9]))
    batch = view.__getitems__([2, 0])

    torch.testing.assert_close(batch["input"], images.__getitems__([9, 5])["input"])
    assert batch["index"].tolist() == [2, 0]
    assert [(part.dataset, part.positions.tolist()) for part in view.locate(np.arange(3))] == [(images, [5, 7, 9])]
    assert view[1]["index"] == 1


def test_view_without_batches_has_none() -> None:
    assert not hasattr(DatasetView(Squares(), [1]), "__getitems__")


def test_limit_of_a_view_keeps_groups_whole(images: TensorDataset) -> None:
    images.groups = np.arange(20) // 5
    view = DatasetView(images, range(3, 18))
    few: Any = limit(view, 8)

    sizes = np.bincount(view.groups)
    assert len(few) <= 8
    assert all(count in (0, sizes[group]) for group, count in enumerate(np.bincount(few.groups)))


def test_view_passes_on_what_its_dataset_says(images: TensorDataset) -> None:
    view = DatasetView(images, [1])

    assert (view.input_shape, view.draws_random_numbers, view.groups) == ((1, 2, 2), False, None)
    assert DatasetView(Squares(), [1]).draws_random_numbers
