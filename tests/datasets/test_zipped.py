from typing import Any

import numpy as np
import pytest
import torch

from labwright.args import UserError
from labwright.datasets.tensor import InputDataset, TensorDataset
from labwright.datasets.view import limit
from labwright.datasets.zipped import ZippedDataset


@pytest.fixture
def few() -> TensorDataset:
    return TensorDataset(torch.arange(3.0)[:, None], torch.arange(3), source="few")


@pytest.fixture
def many() -> InputDataset:
    return InputDataset(torch.arange(100.0, 108.0)[:, None], source="many")


def test_shorter_set_starts_over_and_the_main_one_keeps_its_keys(few: TensorDataset, many: InputDataset) -> None:
    zipped = ZippedDataset(labeled=few, unlabeled=many)
    batch: Any = zipped.__getitems__([7, 2, 3])

    assert len(zipped) == 8
    assert batch["input"].flatten().tolist() == [1, 2, 0]
    assert batch["target"].tolist() == [1, 2, 0]
    assert batch["unlabeled_input"].flatten().tolist() == [107, 102, 103]
    assert batch["index"].tolist() == [7, 2, 3]
    assert (batch["source"], batch["source_index"].tolist()) == (["labeled"] * 3, [1, 2, 0])
    assert batch["unlabeled_index"].tolist() == [7, 2, 3]
    assert batch.keys() == {
        *("input", "target", "index", "source", "source_index"),
        *("unlabeled_input", "unlabeled_index"),
    }


def test_samples_equal_their_batch(few: TensorDataset, many: InputDataset) -> None:
    zipped = ZippedDataset(labeled=few, unlabeled=many)
    batch: Any = zipped.__getitems__(list(range(8)))

    for row, sample in enumerate(zipped):
        assert sample.keys() == batch.keys()
        assert all(sample[key] == batch[key][row] for key in batch)


def test_shape_and_randomness_pass_through(few: TensorDataset, many: InputDataset) -> None:
    assert ZippedDataset(labeled=few, unlabeled=many).input_shape == (1,)
    assert not ZippedDataset(labeled=few, unlabeled=many).draws_random_numbers
    assert ZippedDataset(labeled=few, pairs=[(torch.zeros(1), 0)]).draws_random_numbers


def test_limit_keeps_pairs_together(few: TensorDataset, many: InputDataset) -> None:
    zipped = ZippedDataset(labeled=few, unlabeled=many)
    part: Any = limit(zipped, 4)
    batch = part.__getitems__([0, 1, 2, 3])

    assert ((batch["unlabeled_input"] - 100) % 3 == batch["input"]).all()


def test_limit_keeps_groups_whole(few: TensorDataset, many: InputDataset) -> None:
    few.groups = np.array(["x", "x", "y"])
    part: Any = limit(ZippedDataset(labeled=few, unlabeled=many), 6)

    assert part.groups.tolist() in (["x"] * 6, ["y"] * 2)


def test_seed_puts_other_samples_side_by_side_and_the_same_ones_each_time(
    few: TensorDataset, many: InputDataset
) -> None:
    zipped, again, other = (ZippedDataset(seed=seed, labeled=few, unlabeled=many) for seed in (1, 1, 2))
    batch, same, different = (each.__getitems__(list(range(8))) for each in (zipped, again, other))

    positions: Any = batch["unlabeled_index"]
    assert sorted(positions.tolist()) == list(range(8)) != positions.tolist()
    assert sorted(batch["source_index"].tolist()[:3]) == [0, 1, 2]
    assert batch["input"][:, 0].tolist() == batch["source_index"].tolist()
    assert (batch["unlabeled_input"][:, 0] - 100).tolist() == positions.tolist() == same["unlabeled_index"].tolist()
    assert positions.tolist() != different["unlabeled_index"].tolist()
    assert all(sample["unlabeled_index"] == positions[row] for row, sample in enumerate(zipped))


def test_seed_draws_for_each_set_on_its_own_and_origins_follow(many: InputDataset) -> None:
    many.groups = np.arange(8)
    zipped = ZippedDataset(seed=0, a=many, b=InputDataset(torch.zeros(8, 1), source="other"))
    batch: Any = zipped.__getitems__(list(range(8)))
    parts = zipped.locate(np.arange(8))

    assert batch["source_index"].tolist() != batch["b_index"].tolist()
    assert [part.positions.tolist() for part in parts] == [batch["source_index"].tolist(), batch["b_index"].tolist()]
    assert zipped.groups is not None and zipped.groups.tolist() == batch["source_index"].tolist()


def test_two_sets_that_give_one_key_are_refused(few: TensorDataset) -> None:
    class Wide(TensorDataset):
        def __getitems__(self, indices: Any) -> Any:
            return super().__getitems__(indices) | {"b_input": torch.zeros(len(indices))}

    zipped = ZippedDataset(a=Wide(torch.zeros(3), torch.zeros(3), source="wide"), b=few)

    with pytest.raises(UserError, match="two of the zipped datasets give 'b_input'; call 'b' something else"):
        zipped.__getitems__([0])


def test_zipping_nothing_is_refused(few: TensorDataset) -> None:
    with pytest.raises(UserError, match="nothing to zip"):
        ZippedDataset()
    with pytest.raises(UserError, match="'none' has no samples to zip"):
        ZippedDataset(few=few, none=few.subset([]))
